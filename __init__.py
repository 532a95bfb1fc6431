"""Makes a checkout that is named `narrows` the package of that name, for whatever is started one folder above it.

There Python finds this folder before the installed package, which an editable install puts behind everything else: without this
file it would be taken for an empty namespace.
"""

import importlib.util
import sys
from pathlib import Path

_ROOT = Path(__file__).resolve().parent
#: As pyproject.toml maps them: `narrows` is sw/, `narrows.hw` and the others are beside it.
_FOLDERS = [str(_ROOT / "sw"), str(_ROOT)]

if __name__ == "narrows":
    _spec = importlib.util.spec_from_file_location(__name__, _ROOT / "sw" / "__init__.py", submodule_search_locations=_FOLDERS)
    assert _spec is not None and _spec.loader is not None
    # The import that runs this file takes what stands here when it has ended.
    sys.modules[__name__] = importlib.util.module_from_spec(_spec)
    _spec.loader.exec_module(sys.modules[__name__])
