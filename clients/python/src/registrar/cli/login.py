"""`login`, `logout` and `whoami`: who somebody is to the registry."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from registrar.cli.access_cards import caller_card
from registrar.cli.documents import print_json
from registrar.cli.exits import tell
from registrar.cli.session import AsJson, Server, Tenant, endpoint_at, open_registry
from registrar.cli.text import ahead, plain
from registrar.errors import FailedPrecondition

if TYPE_CHECKING:
    from registrar.access_types import LoginOptions
    from registrar.credentials_file import Login
    from registrar.oidc import DeviceCode


def login(server: Server = None, as_json: AsJson = False) -> None:
    """Log in with a browser, on this machine or another.

    Shows an address and a code to enter there. The login is kept in a file that only you can read, and refreshed by
    itself.
    """
    from registrar.channel import check_private
    from registrar.credentials_file import CredentialsFile

    endpoint, file = endpoint_at(server), CredentialsFile()
    # Whoever can change an answer on its way can send people to a page of his own.
    check_private(endpoint)
    # Nobody shall learn only after the browser that the login cannot be kept.
    file.change(endpoint.address, lambda before: before)
    with open_registry(server, None, token="") as registry:
        options = registry.login_options()
    found = _logged_in(endpoint.address, options)
    with open_registry(server, None, token=found.access_token) as registry:
        caller = registry.caller()
    file.change(endpoint.address, lambda _before: found)
    if as_json:
        print_json({"server": endpoint.address, "caller": caller, "file": str(file)})
    else:
        ends = f"; it ends {ahead(caller.expire_time)}" if caller.expire_time and not found.refresh_token else ""
        print(f"{plain(caller.actor)} is logged in at {endpoint.address}{ends}")
    if os.environ.get("REGISTRAR_TOKEN"):
        tell("note: REGISTRAR_TOKEN is set, and comes before the login")


def _logged_in(address: str, options: LoginOptions) -> Login:
    from registrar import oidc

    if not (options.oidc_issuer and options.oidc_client_id):
        problem = "takes no logins of people" if options.is_authentication_required else "asks nobody who they are"
        raise FailedPrecondition(f"the registry at {address} {problem}", reason="LOGIN_NOT_OFFERED")
    told = (options.oidc_client_id, options.oidc_scopes, options.oidc_audience)
    provider = oidc.discover(options.oidc_issuer)
    device = oidc.begin(provider, *told)
    _show(device)
    return oidc.wait(provider, *told, device)


def _show(device: DeviceCode) -> None:
    tell(f"Open {plain(device.url)}", f"and enter the code {plain(device.user_code)}")
    if device.complete_url:
        tell(f"or open {plain(device.complete_url)}")


def logout(server: Server = None, as_json: AsJson = False) -> None:
    """Forget a login.

    The identity provider is asked to forget it, too.
    """
    from registrar.credentials_file import CredentialsFile

    address, file = endpoint_at(server).address, CredentialsFile()
    before = file.read(address)
    is_revoked = False
    if before is not None:
        from registrar.oidc import revoke

        file.change(address, lambda _before: None)
        is_revoked = revoke(before)
    if as_json:
        print_json({"server": address, "was_logged_in": before is not None, "is_revoked": is_revoked})
    elif before is None:
        print(f"nobody is logged in at {address}")
    else:
        note = (
            "" if is_revoked else "; the provider did not confirm it, so what was copied of it may hold until it ends"
        )
        print(f"logged out at {address}{note}")


def whoami(server: Server = None, tenant: Tenant = None, as_json: AsJson = False) -> None:
    """Show who you are to the registry, and what you may do."""
    with open_registry(server, tenant) as registry:
        caller = registry.caller()
    print_json(caller) if as_json else print(caller_card(caller))
