"""`alphintra user …`: log in and out, and administer users.

All of it goes over HTTP, administration as an administrator who is logged in. Only making a user
with given roles works on the database itself: somebody has to be the first administrator.
"""

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from alphintra.cli.errors import CommandFailed, Refused
from alphintra.cli.local import DataOption, run_local
from alphintra.cli.output import (
    JsonOption,
    LimitOption,
    UrlOption,
    YesOption,
    ask,
    show_fields,
    show_json,
    show_table,
)

if TYPE_CHECKING:
    from alphintra.cli.client import Api
    from alphintra.platform.services import Services

app = typer.Typer(help="Log in and out; administer users.", no_args_is_help=True)

PasswordStdin = Annotated[
    bool, typer.Option("--password-stdin", help="Read the password from standard input.")
]
Email = Annotated[str, typer.Argument(help="E-mail address of the user.")]
Reason = Annotated[str, typer.Option(help="Why; kept in the audit trail.")]
RoleOption = Annotated[
    list[str] | None,
    typer.Option("--role", help="TRADER, DEVELOPER, COMPLIANCE, SUPPORT or ADMIN; repeatable."),
]


def read_password(*, from_stdin: bool, confirm: bool) -> str:
    """Ask for a password without showing it, or read one line.

    Never from the command line, where every user of the machine could see it.
    """
    if from_stdin:
        return sys.stdin.readline().rstrip("\n")
    if not sys.stdin.isatty():
        raise CommandFailed(
            "a password is needed, and there is nobody to ask for it",
            code="password_needed",
            advice="Give it on standard input with --password-stdin.",
        )
    return str(typer.prompt("Password", hide_input=True, confirmation_prompt=confirm))


@app.command()
def login(
    email: Annotated[str | None, typer.Argument(help="E-mail address; else asked for.")] = None,
    demo: Annotated[bool, typer.Option("--demo", help="As the demo user of `up`.")] = False,
    data: DataOption = None,
    password_stdin: PasswordStdin = False,
    url: UrlOption = None,
) -> None:
    """Log in; later commands use this login."""
    from alphintra.cli.client import Api

    demo_folder = None
    if demo:
        from alphintra.cli.demo import running_demo

        found = running_demo(data)
        url, email, password = url or found.url, found.email, found.password
        demo_folder = str(found.folder)
    else:
        email = email or str(typer.prompt("E-mail"))
        password = read_password(from_stdin=password_stdin, confirm=False)
    with Api(url) as api:
        body = {"email": email, "password": password}
        before = api.store.login(api.url)
        if before and before.email == email and before.device_token:
            body["device_token"] = before.device_token
        try:
            tokens = api.post("/auth/login", body, anonymous=True)
        except Refused as refusal:
            if refusal.code != "totp_required":
                raise
            body["totp_code"] = str(typer.prompt("Code of your authenticator app"))
            tokens = api.post("/auth/login", body, anonymous=True)
        with api.store.locked():
            api.keep(email, tokens, demo_folder=demo_folder)
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


@app.command()
def create(
    email: Email,
    first_name: Annotated[str, typer.Option(help="First name.")] = "",
    last_name: Annotated[str, typer.Option(help="Last name.")] = "",
    role: RoleOption = None,
    password_stdin: PasswordStdin = False,
    data: DataOption = None,
    url: UrlOption = None,
    json: JsonOption = False,
) -> None:
    """Make a user: a trader over HTTP, or with --role any user in the database."""
    password = read_password(from_stdin=password_stdin, confirm=True)
    names = {"first_name": first_name, "last_name": last_name}
    if role:
        user = run_local(data, _creator(email, password, role, names), name="user create")
    else:
        from alphintra.cli.client import Api

        with Api(url) as api:
            body = {"email": email, "password": password, **names}
            user = api.post("/auth/register", body, anonymous=True)
    if json:
        show_json(user)
    else:
        print(f"Made {email}, id {user['id']}.")


def _creator(email: str, password: str, roles: list[str], names: Mapping[str, str]) -> Any:
    async def make(services: "Services") -> dict[str, str]:
        from alphintra import identity

        made = await identity.create_user(
            identity.build_identity(services),
            email=email,
            password=password,
            roles=frozenset(_roles(roles)),
            **names,
        )
        return {"id": str(made), "email": email}

    return make


def _roles(names: list[str]) -> list[Any]:
    from alphintra.identity import Role

    try:
        return [Role(name.upper()) for name in names]
    except ValueError as error:
        raise CommandFailed(str(error), advice=f"Roles are: {', '.join(Role)}.") from error


@app.command("list")
def list_(
    email: Annotated[str | None, typer.Option(help="Only this address.")] = None,
    limit: LimitOption = 100,
    url: UrlOption = None,
    json: JsonOption = False,
) -> None:
    """List users, the youngest first."""
    from alphintra.cli.client import Api

    with Api(url) as api:
        found = api.pages("/users", limit=limit, email=email)
    if json:
        show_json(found)
        return
    columns = ["email", "roles", "created_at", "disabled_at", "id"]
    show_table(
        columns,
        ([user[column] for column in columns] for user in found),
        empty="There are no such users.",
    )


@app.command()
def disable(email: Email, reason: Reason, yes: YesOption = False, url: UrlOption = None) -> None:
    """Keep a user out; sessions and API keys stop within a second."""
    from alphintra.cli.client import Api

    ask(f"Disable {email}?", yes=yes)
    with Api(url) as api:
        api.post(f"/users/{_id_of(api, email)}/disable", {"reason": reason}, repeat=True)
    print(f"{email} is disabled.")


@app.command()
def enable(email: Email, reason: Reason, url: UrlOption = None) -> None:
    """Let a disabled user in again."""
    from alphintra.cli.client import Api

    with Api(url) as api:
        api.post(f"/users/{_id_of(api, email)}/enable", {"reason": reason}, repeat=True)
    print(f"{email} is enabled.")


@app.command()
def roles(
    email: Email,
    role: RoleOption = None,
    url: UrlOption = None,
    json: JsonOption = False,
) -> None:
    """Show a user's roles, or replace them with those of --role."""
    from alphintra.cli.client import Api

    with Api(url) as api:
        user_id = _id_of(api, email)
        if role:
            wanted = {"roles": [name.upper() for name in role]}
            user = api.put(f"/users/{user_id}/roles", wanted)
        else:
            user = api.get(f"/users/{user_id}")
    if json:
        show_json(user)
    else:
        print(", ".join(user["roles"]))


def _id_of(api: "Api", email: str) -> str:
    found = api.get("/users", email=email)["items"]
    if not found:
        raise CommandFailed(
            f"there is no user {email}", code="user_not_found", advice="See: alphintra user list"
        )
    return str(found[0]["id"])
