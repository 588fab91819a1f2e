"""`alphintra user …`: log in and out, and administer users."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from alphintra.cli.errors import CommandFailed, Refused
from alphintra.cli.output import (
    JsonOption,
    UrlOption,
    show_fields,
    show_json,
)

app = typer.Typer(help="Log in and out; administer users.", no_args_is_help=True)

DataOption = Annotated[
    Path | None,
    typer.Option("--data", help="Data folder of the `alphintra up` whose database is meant."),
]
PasswordStdin = Annotated[
    bool, typer.Option("--password-stdin", help="Read the password from standard input.")
]
Email = Annotated[str, typer.Argument(help="E-mail address of the user.")]


def read_password(*, from_stdin: bool, confirm: bool) -> str:
    """Ask for a password without showing it, or read one line; never from the command line,
    where every user of the machine could see it.
    """
    if from_stdin:
        return sys.stdin.readline().rstrip("\n")
    return str(typer.prompt("Password", hide_input=True, confirmation_prompt=confirm))


@app.command()
def login(
    email: Annotated[
        str | None, typer.Argument(help="E-mail address; asked for if missing.")
    ] = None,
    demo: Annotated[bool, typer.Option("--demo", help="As the demo user of `up`.")] = False,
    data: DataOption = None,
    password_stdin: PasswordStdin = False,
    url: UrlOption = None,
) -> None:
    """Log in; later commands use this login until `logout`."""
    from alphintra.cli.client import Api

    if demo:
        from alphintra.cli.demo import running_demo

        found = running_demo(data)
        url, email, password = url or found.url, found.email, found.password
    else:
        email = email or str(typer.prompt("E-mail"))
        password = read_password(from_stdin=password_stdin, confirm=False)
    with Api(url) as api:
        body = {"email": email, "password": password}
        try:
            tokens = api.post("/auth/login", body, anonymous=True)
        except Refused as refusal:
            if refusal.code != "totp_required":
                raise
            body["totp_code"] = str(typer.prompt("Code of your authenticator app"))
            tokens = api.post("/auth/login", body, anonymous=True)
        with api.store.locked():
            api.keep(email, tokens)
        print(f"Logged in as {email} at {api.url}.")


@app.command()
def logout(url: UrlOption = None) -> None:
    """End the login, here and on the server."""
    from alphintra.cli.client import Api

    with Api(url) as api:
        login = api.store.login(api.url)
        if login is None:
            print("Nobody was logged in.")
            return
        try:
            api.post("/auth/logout")
        except CommandFailed as failure:
            # The tokens here are forgotten in any case; that is what the user asked for.
            print(f"The server was not told: {failure.detail}", file=sys.stderr)
        with api.store.locked():
            api.store.forget(api.url)
        print(f"{login.email} is logged out.")


@app.command()
def whoami(url: UrlOption = None, json: JsonOption = False) -> None:
    """Show who is logged in."""
    from alphintra.cli.client import Api

    with Api(url) as api:
        profile = api.get("/users/profile")
    if json:
        show_json(profile)
    else:
        show_fields(profile)
