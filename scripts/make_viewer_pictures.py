"""Make the README's picture of the sample recording in Foxglove, as whoever opens the MCAP there sees it.

docs/foxglove.jpg: screenshot of a Foxglove Studio in the browser (its open successor Lichtblick serves one)
with what `scripts/make_scene_pictures.py` recorded and the layout config/foxglove.json.

Needs playwright (`pip install playwright`) and a Chromium; neither a display nor a graphics card.

Usage: scripts/make_viewer_pictures.py <address of the web app> [Chromium's command]
"""

from __future__ import annotations

import io
import json
import sys
import threading
from contextlib import suppress
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlencode

from make_scene_pictures import OUTPUT, STILL, save
from PIL import Image
from rosbags.highlevel import AnyReader

LAYOUT = Path(__file__).resolve().parents[1] / "config" / "foxglove.json"
RECORDING = OUTPUT / "scene.mcap"
WIDTH, HEIGHT = 1600, 1000
# A browser without a graphics card draws with this one.
SOFTWARE_GL = ["--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
# What the app's file dialogue would bring; without a display there is none.
CHOSEN = "window.showOpenFilePicker = async () => [{getFile: async () => new File([%s], 'cotracker.json')}]"
DRAWN, PATIENCE = 60_000, 120_000  # ms; such a browser draws slowly, and nothing says when all is there


def main(app: str, chromium: str) -> None:
    """Open the recording in the app and keep what it shows."""
    try:
        from playwright.sync_api import Error, sync_playwright
    except ImportError:
        sys.exit("playwright is missing: pip install playwright")
    if not RECORDING.exists():
        sys.exit(f"{RECORDING} is missing: scripts/make_scene_pictures.py makes it")
    server = ThreadingHTTPServer(("127.0.0.1", 0), OneFile)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with AnyReader([RECORDING]) as reader:
        moment = datetime.fromtimestamp(reader.start_time / 1e9 + STILL, timezone.utc)
    query = {
        "ds": "remote-file",
        "ds.url": f"http://127.0.0.1:{server.server_port}/{RECORDING.name}",
        "time": moment.isoformat().replace("+00:00", "Z"),
    }
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium, args=SOFTWARE_GL)
            page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="dark")
            page.set_default_timeout(PATIENCE)
            page.add_init_script(CHOSEN % json.dumps(LAYOUT.read_text()))
            page.goto(app)
            page.get_by_role("dialog").wait_for()
            page.keyboard.press("Escape")  # the offer of sources of data
            page.get_by_text("Layouts", exact=True).click()
            page.get_by_text("Import from file").click()
            page.get_by_text("cotracker", exact=True).wait_for()  # the imported layout in the list
            page.goto(f"{app}?{urlencode(query)}")
            page.get_by_text("Layouts", exact=True).wait_for()
            page.keyboard.press("[")  # the sidebar goes
            page.wait_for_timeout(DRAWN)
            picture = Image.open(io.BytesIO(page.screenshot()))
            browser.close()
    except Error as error:
        sys.exit(f"{app} could not be looked at with {chromium}: {error.message.splitlines()[0]}")
    save(picture.resize((1280, 800)), "foxglove.jpg")


class OneFile(BaseHTTPRequestHandler):
    """Answer requests for a file, or for its bytes from somewhere on, from pages of any origin."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Send the file; a reader that has seen enough hangs up."""
        size = RECORDING.stat().st_size
        wanted = self.headers.get("Range", "").removeprefix("bytes=")
        first, last = (int(end) for end in wanted.split("-")) if wanted else (0, size - 1)
        self.send_response(206 if wanted else 200)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(last - first + 1))
        self.send_header("Content-Range", f"bytes {first}-{last}/{size}")
        self.permit()
        with RECORDING.open("rb") as file, suppress(ConnectionError):
            file.seek(first)
            while (left := last + 1 - file.tell()) > 0:
                self.wfile.write(file.read(min(left, 1 << 20)))

    def do_OPTIONS(self) -> None:
        """Say that pages of other origins may ask for parts."""
        self.send_response(204)
        self.permit()

    def permit(self) -> None:
        """End the headers with what lets a page of another origin read the answer."""
        self.send_header("Access-Control-Allow-Origin", "*")
        self.send_header("Access-Control-Allow-Headers", "Range")
        self.send_header("Access-Control-Expose-Headers", "Accept-Ranges, Content-Length, Content-Range")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "/usr/bin/chromium")
