"""The command `dfdetect web`."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import signal

from dfdetect.commands import make_parser, web_keys
from pipelines.coverage import ScanSettings
from pipelines.flags import add_flags, from_flags
from serving.provenance.settings import ProvenanceSettings
from serving.web.settings import DECODE_GIGAPIXELS, Settings


def main(argv: list[str]) -> int:
    """Serves until SIGTERM or Ctrl-C; exit code 1 where the start fails."""
    if argv[:1] == ["keys"]:
        return web_keys.main(argv[1:])
    parser = make_parser(
        "web",
        "Upload a video in the browser, or through the API, get a report.",
        epilog="`dfdetect web keys --help` tells of the keys in --keys-file.",
    )
    add_flags(parser, Settings)
    add_flags(parser.add_argument_group("how closely to look"), ScanSettings)
    add_flags(parser.add_argument_group("about the file"), ProvenanceSettings)
    parser.set_defaults(max_gigapixels=DECODE_GIGAPIXELS)  # files of strangers
    args = parser.parse_args(argv)

    from serving.analysis.panel import sources_of

    try:
        scan = from_flags(ScanSettings, args)
        provenance = from_flags(ProvenanceSettings, args)
        settings = dataclasses.replace(from_flags(Settings, args), scan=scan, provenance=provenance)
        sources = sources_of(settings)
    except ValueError as error:
        parser.error(str(error))

    from serving.sockets import address, listen
    from serving.web.app import create_app, server
    from serving.web.log_limit import LogLimit
    from serving.web.open_files import raise_limit

    # Versions that are exported from now on are for the next start.
    folders = {s.places[0]: str(s.exported().folder) for s in sources if not s.is_server}
    settings = dataclasses.replace(
        settings, model=tuple(folders.get(model, model) for model in settings.model)
    )
    raise_limit()
    app = create_app(settings)
    listener = listen(settings.host, settings.port, "--port")
    handler = logging.StreamHandler()
    handler.addFilter(LogLimit())
    form = "%(asctime)s %(name)s: %(message)s"
    logging.basicConfig(level=logging.INFO, format=form, handlers=[handler])
    logging.getLogger("httpx").setLevel(logging.WARNING)
    print(f"http://{address(settings.host, listener.getsockname()[1])}/", flush=True)
    # uvicorn ends in good order, then sends itself the signal again for who listened before it.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    web = server(app)
    with contextlib.suppress(SystemExit):  # how uvicorn ends where the start failed; it says why
        web.run([listener])
    return 0 if web.started else 1
