"""`alphintra key …`: API keys of programs, and the operator's key that signs access tokens."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from alphintra.cli.errors import Refused
from alphintra.cli.local import DataOption, run_local
from alphintra.cli.output import JsonOption, UrlOption, YesOption, ask, show_json, show_table
from alphintra.cli.users import PasswordStdin, read_password

if TYPE_CHECKING:
    from alphintra.cli.client import Api
    from alphintra.platform.services import Services

app = typer.Typer(help="Make and revoke API keys for programs.", no_args_is_help=True)


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="What the key is for.")],
    scope: Annotated[list[str], typer.Option(help="What it may do, e.g. market:read; repeatable.")],
    expires_at: Annotated[str | None, typer.Option(help="When it ends, ISO 8601.")] = None,
    save: Annotated[
        Path | None, typer.Option(help="Write the key to this file, for you alone.")
    ] = None,
    password_stdin: PasswordStdin = False,
    url: UrlOption = None,
    json: JsonOption = False,
) -> None:
    """Make a key; it is shown this once."""
    from alphintra.cli.client import Api

    body: dict[str, Any] = {"name": name, "scopes": scope}
    if expires_at:
        body["expires_at"] = expires_at
    with Api(url) as api:
        try:
            made = api.post("/api-keys", body)
        except Refused as refusal:
            if refusal.code != "step_up_required":
                raise
            made = api.post("/api-keys", {**body, **_proof(api, refusal, password_stdin)})
    if save is not None:
        # Made 0600 from the start: nobody else reads it in between.
        descriptor = os.open(save, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            os.fchmod(descriptor, 0o600)
            file.write(made["key"])
        print(f"The key is in {save}.")
    elif json:
        show_json(made)
    else:
        print(made["key"])


def _proof(api: "Api", refusal: Refused, password_stdin: bool) -> dict[str, str]:
    """Ask for what the server wants as a fresh proof; the demo user's password is known here."""
    from alphintra.cli.demo import demo_password

    proof: dict[str, str] = {}
    for needed in refusal.document.get("needed", []):
        if needed == "password":
            login = api.store.login(api.url)
            proof["password"] = (login and demo_password(login)) or read_password(
                from_stdin=password_stdin, confirm=False
            )
        else:
            proof["totp_code"] = str(typer.prompt("Code of your authenticator app"))
    return proof


@app.command("list")
def list_(url: UrlOption = None, json: JsonOption = False) -> None:
    """List the keys that are in use."""
    from alphintra.cli.client import Api

    with Api(url) as api:
        found = api.get("/api-keys")["items"]
    if json:
        show_json(found)
        return
    show_table(
        ["name", "scopes", "created", "expires", "id"],
        (
            (key["name"], key["scopes"], key["created_at"], key["expires_at"], key["id"])
            for key in found
        ),
        empty="There are no keys.",
    )


@app.command()
def revoke(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="The key's id.")],
    yes: YesOption = False,
    url: UrlOption = None,
) -> None:
    """End a key at once."""
    from alphintra.cli.client import Api

    ask(f"Revoke the key {key_id}?", yes=yes)
    with Api(url) as api:
        api.delete(f"/api-keys/{key_id}")
    print("The key is revoked.")


@app.command("rotate-signing")
def rotate_signing(
    compromised: Annotated[
        bool, typer.Option(help="Void all access tokens at once; clients refresh.")
    ] = False,
    yes: YesOption = False,
    data: DataOption = None,
) -> None:
    """Replace the key that signs access tokens; by itself that happens by age.

    Works on the database itself, like the administration of users.
    """
    ask("Replace the signing key?", yes=yes)

    async def act(services: "Services") -> str:
        from alphintra import identity

        ours = identity.build_identity(services)
        return await identity.rotate_signing_key(ours, compromised=compromised)

    print(f"The key {run_local(data, act, name='key rotate-signing')} signs.")
