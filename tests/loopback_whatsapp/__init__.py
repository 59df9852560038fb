"""A loopback WhatsApp: chat server, media server and phones that the unmodified neonize talks to.

By hand: `python -m tests.loopback_whatsapp --shell` in one terminal prints `export` lines to paste
into another, where the gateway then runs; `curl` on `$LOOPBACK_WHATSAPP` scans codes and writes
messages (`control.py` has the routes, `commands.py` the bodies). In tests: the fixture of
`fixture.py` gives a `client.LoopbackWhatsApp`.

Nothing here imports neonize's code for the protocol, so that the server is an independent oracle;
only `trusting_neonize` touches the installed package, to make a copy that trusts our root key.
"""
