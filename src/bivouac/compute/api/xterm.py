"""xterm.js as it is installed on this machine: its one script and its one stylesheet.

Releases from 4 on bring a script that browsers take as it is (npm's `@xterm/xterm`, later Debian's `node-xterm`). Of
release 3, which Debian 12 and Ubuntu 24.04 have, that script is packed wrongly: it asks for `require`, which no browser
has. The modules that it would ask for are installed beside it, so they are put into one script here, the way every
bundler does: each module a function, by its path.
"""

import json
import os
import re
from pathlib import Path

from bivouac.core.errors import NotFound

FOLDERS = (
    Path("/usr/local/lib/node_modules/@xterm/xterm"),
    Path("/usr/lib/node_modules/@xterm/xterm"),
    Path("/usr/share/nodejs/@xterm/xterm"),
    Path("/usr/share/nodejs/xterm"),
)
_REQUIRE = re.compile(r"""\brequire\((["'])(\.[^"']*)\1\)""")
_FRAME = """(() => {
const modules = {%s};
const loaded = {};
const load = (path) => {
  if (!(path in loaded)) {
    const module = loaded[path] = { exports: {} };
    modules[path][0](module, module.exports, (name) => load(modules[path][1][name]));
  }
  return loaded[path].exports;
};
window.Terminal = load(%s).Terminal;
})();
"""


def script() -> str:
    """A script that defines `Terminal`. Raises NotFound."""
    folder = _installed()
    entry = folder / "lib/public/Terminal.js"
    return _bundle(folder / "lib", entry) if entry.is_file() else (folder / "lib/xterm.js").read_text()


def stylesheet() -> str:
    """The terminal's look. Raises NotFound."""
    folder = _installed()
    return next(path for path in _stylesheets(folder) if path.is_file()).read_text()


def _installed() -> Path:
    for folder in FOLDERS:
        if (folder / "lib/xterm.js").is_file() and any(path.is_file() for path in _stylesheets(folder)):
            return folder
    raise NotFound("xterm.js is not installed on this machine (apt-get install node-xterm).")


def _stylesheets(folder: Path) -> tuple[Path, Path]:
    return folder / "css/xterm.css", folder / "lib/xterm.css"


def _bundle(top: Path, entry: Path) -> str:
    """One script of a module and all that it requires."""
    modules: dict[str, str] = {}
    waiting = [os.path.relpath(entry, top)]
    first = waiting[0]
    while waiting:
        path = waiting.pop()
        if path in modules:
            continue
        text = (top / path).read_text()
        named = {name: os.path.normpath(os.path.join(os.path.dirname(path), name)) + ".js"
                 for _, name in _REQUIRE.findall(text)}  # fmt: skip
        modules[path] = f"[(module, exports, require) => {{{text}\n}}, {json.dumps(named)}]"
        waiting += named.values()
    return _FRAME % (",\n".join(f"{json.dumps(path)}: {text}" for path, text in modules.items()), json.dumps(first))
