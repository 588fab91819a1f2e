"""What is not exactly a valid access token of ours opens nothing (S5)."""

import base64
import json
import random
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, hmac
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from joserfc.jwk import RSAKey

from alphintra.core.errors import NotAuthenticated
from alphintra.identity import Role

from .conftest import Person, World

SECONDS = 1_000_000_000


def _segment(value: object) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _decode(segment: str) -> Any:
    return json.loads(base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4)))


def _rs256(header: object, claims: object, key: RSAKey) -> str:
    signed = f"{_segment(header)}.{_segment(claims)}"
    signature = key.get_op_key("sign").sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256())
    return f"{signed}.{_segment(signature)}"


async def _status(world: World, token: str) -> tuple[int, str]:
    answer = await world.call("GET", "/users/profile", token=token)
    return answer.status, "" if answer.status == 200 else answer.code


@pytest.fixture
async def ada(world: World) -> Person:
    return await world.person(Role.TRADER)


async def _parts(world: World, ada: Person) -> tuple[dict[str, Any], dict[str, Any], RSAKey]:
    header, claims, _ = ada.access_token.split(".")
    _, key = await world.api.identity.keyring.signing()
    return _decode(header), _decode(claims), key


async def test_the_token_says_what_it_must_and_no_more(world: World, ada: Person) -> None:
    header, claims, _ = await _parts(world, ada)
    assert header.keys() == {"alg", "typ", "kid"}
    assert (header["alg"], header["typ"]) == ("RS256", "at+jwt")
    assert claims["exp"] - claims["iat"] == 600
    assert ada.email not in json.dumps(claims)


async def test_a_token_signed_by_us_in_the_test_is_taken(world: World, ada: Person) -> None:
    # Proves that the forgeries below are refused for what is wrong with them, not for their making.
    header, claims, key = await _parts(world, ada)
    assert await _status(world, _rs256(header, claims, key)) == (200, "")


@pytest.mark.parametrize(
    ("header_change", "claims_change"),
    [
        ({"typ": "JWT"}, {}),
        ({"typ": None}, {}),
        ({"alg": "RS384"}, {}),
        ({"alg": "PS256"}, {}),
        ({"kid": "../../../etc/passwd"}, {}),
        ({"kid": "' OR 1=1 --"}, {}),
        ({"kid": "https://attacker.example/jwks.json"}, {}),
        ({"kid": ""}, {}),
        ({"kid": 7}, {}),
        ({"jku": "https://attacker.example/jwks.json"}, {}),
        ({"x5u": "https://attacker.example/cert.pem"}, {}),
        ({"x5c": ["MIIB"]}, {}),
        ({"jwk": {"kty": "RSA", "n": "AQAB", "e": "AQAB"}}, {}),
        ({"crit": ["exp"]}, {}),
        ({"b64": False, "crit": ["b64"]}, {}),
        ({"zip": "DEF"}, {}),
        ({}, {"iss": "https://attacker.example"}),
        ({}, {"aud": "someone-else"}),
        ({}, {"aud": ["alphintra"]}),
        ({}, {"sub": "not-a-uuid"}),
        ({}, {"sid": None}),
        ({}, {"exp": "never"}),
        ({}, {"exp": None}),
        ({}, {"ver": None}),
        ({}, {"iat": 9_999_999_999}),
        ({}, {"nbf": 9_999_999_999}),
    ],
)
async def test_a_wrong_header_or_claim_is_refused_even_with_our_signature(
    world: World, ada: Person, header_change: dict[str, Any], claims_change: dict[str, Any]
) -> None:
    header, claims, key = await _parts(world, ada)
    forged = _rs256({**header, **header_change}, {**claims, **claims_change}, key)
    assert await _status(world, forged) == (401, "token_invalid")


async def test_other_algorithms_and_keys_are_refused(world: World, ada: Person) -> None:
    header, claims, key = await _parts(world, ada)
    unsigned = f"{_segment({**header, 'alg': 'none'})}.{_segment(claims)}."
    assert await _status(world, unsigned) == (401, "token_invalid")
    assert await _status(world, unsigned + "A" * 512) == (401, "token_invalid")

    stranger = RSAKey.generate_key(3072)
    assert await _status(world, _rs256(header, claims, stranger)) == (401, "token_invalid")

    # The classic: our public key as the secret of an HMAC, in each of its encodings.
    for secret in (key.as_pem(private=False), key.as_der(private=False)):
        signed = f"{_segment({**header, 'alg': 'HS256'})}.{_segment(claims)}"
        mac = hmac.HMAC(secret, hashes.SHA256())
        mac.update(signed.encode())
        tag = mac.finalize()
        for signature in (tag, tag + bytes(384 - len(tag))):
            forged = f"{signed}.{_segment(signature)}"
            assert await _status(world, forged) == (401, "token_invalid")


async def test_times_are_judged_with_five_seconds_of_leeway(world: World, ada: Person) -> None:
    header, claims, key = await _parts(world, ada)
    now_s = world.clock.now_ns() // SECONDS

    async def with_times(**times: int) -> tuple[int, str]:
        return await _status(world, _rs256(header, {**claims, **times}, key))

    assert await with_times(exp=now_s - 4) == (200, "")
    assert await with_times(exp=now_s - 5) == (401, "token_expired")
    assert await with_times(exp=now_s - 6) == (401, "token_expired")
    assert await with_times(iat=now_s + 5, nbf=now_s + 5) == (200, "")
    assert await with_times(iat=now_s + 6) == (401, "token_invalid")
    assert await with_times(nbf=now_s + 6) == (401, "token_invalid")


async def test_a_remembered_token_expires_too(world: World, ada: Person) -> None:
    assert await _status(world, ada.access_token) == (200, "")
    world.clock.advance(604)
    assert await _status(world, ada.access_token) == (200, "")
    world.clock.advance(1)
    assert await _status(world, ada.access_token) == (401, "token_expired")


async def test_a_thousand_mutations_open_nothing(world: World, ada: Person) -> None:
    seed = 20_240_607
    draw = random.Random(seed)
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=+/! \u00e9"
    token = ada.access_token
    authenticate = world.api.authenticator.authenticate_credential
    assert str((await authenticate(token)).user_id) == ada.id
    refused = 0
    for number in range(1_000):
        at = draw.randrange(len(token))
        match number % 5:
            case 0:
                mutant = token[:at] + draw.choice(alphabet) + token[at + 1 :]
            case 1:
                mutant = token[:at] + token[at + 1 :]
            case 2:
                mutant = token[:at] + draw.choice(alphabet) + token[at:]
            case 3:
                mutant = token[:at]
            case _:
                other = draw.randrange(len(token))
                swapped = list(token)
                swapped[at], swapped[other] = swapped[other], swapped[at]
                mutant = "".join(swapped)
        if mutant == token:
            continue
        try:
            await authenticate(mutant)
        except NotAuthenticated:
            refused += 1
        else:
            pytest.fail(f"seed {seed}, mutation {number} was let in")
    assert refused > 900


async def test_a_refresh_token_is_no_access_token(world: World, ada: Person) -> None:
    assert await _status(world, ada.refresh_token) == (401, "token_invalid")
    assert await _status(world, ada.device_token) == (401, "token_invalid")


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({}, "not_authenticated"),
        ({"authorization": ""}, "not_authenticated"),
        ({"authorization": "Bearer"}, "not_authenticated"),
        ({"authorization": "Basic YTpi"}, "not_authenticated"),
        ({"authorization": "Bearer x", "x-api-key": "y"}, "credentials_ambiguous"),
        ({"x-api-key": "nonsense"}, "api_key_invalid"),
        ({"x-api-key": "alp_" + "0" * 32 + "_" + "a" * 43}, "api_key_invalid"),
        ({"authorization": "Bearer alp_x"}, "api_key_invalid"),
        ({"authorization": "Bearer " + "A" * 20_000}, "token_invalid"),
    ],
)
async def test_what_is_no_credential_says_why(
    world: World, headers: dict[str, str], code: str
) -> None:
    answer = await world.call("GET", "/users/profile", headers=headers)
    assert (answer.status, answer.code) == (401, code)
    assert answer.headers["www-authenticate"] == "Bearer"


async def test_the_key_set_has_two_live_keys_of_3072_bits(world: World, ada: Person) -> None:
    header, _, _ = await _parts(world, ada)
    versioned = await world.call("GET", "/auth/jwks")
    at_root = await world.call("GET", "/.well-known/jwks.json")
    assert versioned.body == at_root.body
    keys = versioned.body["keys"]
    assert len(keys) >= 2
    assert header["kid"] == keys[0]["kid"]
    for key in keys:
        assert key.keys() == {"kty", "n", "e", "kid", "use", "alg"}
        public = RSAKey.import_key(key).get_op_key("verify")
        assert isinstance(public, rsa.RSAPublicKey)
        assert public.key_size >= 3072
