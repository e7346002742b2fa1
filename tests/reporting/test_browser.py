"""The page in a real browser: phone and desktop, light and dark."""

import json
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path

import pytest

from tests.reporting import made

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--enable-logging=stderr", "--v=0",
    "--allow-file-access-from-files",
)  # fmt: skip

# Runs before everything else in the page and writes down whatever goes wrong.
WATCH = """<script>
window.wrong = [];
addEventListener("error", e => wrong.push("error: " + (e.message || (e.target.tagName + " failed to load"))), true);
addEventListener("unhandledrejection", e => wrong.push("rejected: " + e.reason));
document.addEventListener("securitypolicyviolation", e => wrong.push("blocked: " + e.violatedDirective));
addEventListener("load", () => {
  for (const button of document.querySelectorAll("button")) button.click();
  const root = document.documentElement;
  parent.postMessage({
    wrong, width: innerWidth, scroll: root.scrollWidth, dark: matchMedia("(prefers-color-scheme: dark)").matches,
    ground: getComputedStyle(document.body).backgroundColor,
    lost: [...document.querySelectorAll("main *")].filter(
      e => e.getBoundingClientRect().right > innerWidth + 1 && !e.closest(".scroll") && !e.closest(".hide")).length,
  }, "*");
});
</script>"""
FRAME = """<!doctype html><title>frame</title>
<iframe src="watched.html" width="{width}" height="{height}" style="border: 0"></iframe><script>
addEventListener("message", e => {{ document.documentElement.dataset.found = JSON.stringify(e.data); }});
</script>"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on PATH: apt-get install chromium"),
]


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize(("width", "height"), [(360, 740), (1280, 800)], ids=["phone", "desktop"])
def test_opens_without_complaint(tmp_path: Path, width: int, height: int, dark: bool) -> None:
    """No error on the console, nothing blocked, nothing wider than the screen, every button pressed."""
    made.folder_of_a_run(tmp_path, video=True, thumbnails=True)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    (tmp_path / "watched.html").write_text(page.replace("<head>", "<head>" + WATCH, 1), encoding="utf-8")
    (tmp_path / "frame.html").write_text(FRAME.format(width=width, height=height), encoding="utf-8")
    scheme = f"--blink-settings=preferredColorScheme={0 if dark else 1}"
    done = subprocess.run(
        [str(CHROMIUM), *FLAGS, scheme, f"--user-data-dir={tmp_path / 'profile'}", "--window-size=1400,900",
         "--dump-dom", (tmp_path / "frame.html").as_uri()],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert "CONSOLE" not in done.stderr, done.stderr
    found = re.search(r'data-found="([^"]*)"', done.stdout)
    assert found is not None, done.stdout[-2000:] + done.stderr[-2000:]
    state = json.loads(unescape(found[1]))
    assert state["wrong"] == []
    assert state["width"] == width
    assert state["scroll"] <= width
    assert state["lost"] == 0
    assert state["dark"] is dark
    assert state["ground"] == ("rgb(16, 21, 27)" if dark else "rgb(246, 247, 249)")
