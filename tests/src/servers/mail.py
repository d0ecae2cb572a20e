"""An SMTP server that keeps what it is sent: STARTTLS and a login first, then mail into a folder.

Each mail becomes NUMBER.eml, as it came, and NUMBER.json, decoded. Both are on disk before the sender is told.
"""

import argparse
import asyncio
import email
import email.policy
import json
import os
import ssl
import time
from pathlib import Path

from aiosmtpd.smtp import SMTP, AuthResult


class Keeper:
    """Stores mail, and refuses recipients as told."""

    def __init__(self, folder, reject, later):
        self.folder, self.reject, self.later = folder, reject, later
        self.count = len(list(folder.glob("*.json")))

    async def handle_RCPT(self, server, session, envelope, address, options):
        if address in self.reject:
            return "550 5.1.1 no such mailbox"
        if address in self.later:
            return "451 4.3.0 try again later"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        self.count += 1
        name = f"{self.count:06}"
        self.write(f"{name}.eml", envelope.content)
        self.write(f"{name}.json", json.dumps(decoded(envelope)).encode())
        return "250 OK"

    def write(self, name, content):
        part = self.folder / f"{name}.part"
        part.write_bytes(content)
        os.replace(part, self.folder / name)


def decoded(envelope):
    mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
    body = mail.get_body(preferencelist=("plain", "html"))
    return {
        "at_us": time.time_ns() // 1000,
        "message_id": mail["Message-ID"] or "",
        "key": mail["X-Tollgate-Key"] or "",
        "from": mail["From"] or "",
        "to": mail["To"] or "",
        "subject": mail["Subject"] or "",
        "body": body.get_content() if body else "",
        "recipients": envelope.rcpt_tos,
    }


async def serve(options):
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(options.certificate, options.private_key)
    user, password = options.user.encode(), options.password.encode()

    def authenticate(server, session, envelope, mechanism, data):
        good = data.login == user and data.password == password
        return AuthResult(success=good, handled=False)

    keeper = Keeper(options.folder, options.reject, options.later)

    def session():
        return SMTP(
            keeper,
            hostname="localhost",
            tls_context=tls,
            require_starttls=True,
            auth_required=True,
            authenticator=authenticate,
        )

    loop = asyncio.get_running_loop()
    server = await loop.create_server(session, "127.0.0.1", options.port)
    await server.serve_forever()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--certificate", required=True)
    parser.add_argument("--private-key", required=True)
    parser.add_argument("--user", required=True)
    parser.add_argument("--password", required=True)
    parser.add_argument("--reject", action="append", default=[], metavar="ADDRESS")
    parser.add_argument("--later", action="append", default=[], metavar="ADDRESS")
    asyncio.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()
