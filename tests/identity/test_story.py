"""The usual way through identity, once, over HTTP."""

import json

from .conftest import PASSWORD, World


async def test_from_registration_to_logout(world: World) -> None:
    registered = await world.call(
        "POST",
        "/auth/register",
        {"email": " Ada@Example.com ", "password": PASSWORD, "first_name": "Ada"},
    )
    assert registered.status == 201
    assert registered.body["email"] == "ada@example.com"
    assert registered.body["kyc_status"] == "PENDING"
    assert registered.body["roles"] == ["TRADER"]
    assert "password" not in json.dumps(registered.body)

    login = await world.log_in("ADA@example.com")
    assert login.status == 200
    assert login.body["token_type"] == "Bearer"
    assert login.body["expires_in"] == 600
    assert "HttpOnly" in login.headers["set-cookie"]
    assert "Secure" in login.headers["set-cookie"]
    token = login.body["access_token"]

    profile = await world.call("GET", "/users/profile", token=token)
    assert profile.status == 200
    assert profile.body == registered.body

    changed = await world.call(
        "PUT", "/users/profile", {"first_name": "A.", "last_name": "Lovelace"}, token=token
    )
    assert (changed.body["first_name"], changed.body["last_name"]) == ("A.", "Lovelace")

    refreshed = await world.call(
        "POST", "/auth/refresh", {"refresh_token": login.body["refresh_token"]}
    )
    assert refreshed.status == 200
    assert refreshed.body["refresh_token"] != login.body["refresh_token"]

    listed = await world.call("GET", "/auth/sessions", token=refreshed.body["access_token"])
    assert [one["is_current"] for one in listed.body["items"]] == [True]

    out = await world.call("POST", "/auth/logout", {}, token=refreshed.body["access_token"])
    assert out.status == 204
    for gone in (token, refreshed.body["access_token"]):
        answer = await world.call("GET", "/users/profile", token=gone)
        assert (answer.status, answer.code) == (401, "session_ended")
    again = await world.call(
        "POST", "/auth/refresh", {"refresh_token": refreshed.body["refresh_token"]}
    )
    assert (again.status, again.code) == (401, "refresh_token_invalid")

    types = [json.loads(body)["data"]["event_type"] for body in await world.events("user_events")]
    assert types == ["USER_REGISTERED", "USER_LOGGED_IN", "PROFILE_UPDATED", "USER_LOGGED_OUT"]
    first = json.loads((await world.events("user_events"))[0])
    assert first["type"] == "user_event.v1"
    assert first["data"].keys() == {"event_id", "user_id", "event_type", "timestamp"}
    assert first["data"]["user_id"] == registered.body["id"]
