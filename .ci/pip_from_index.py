"""Runs pip out of its own wheel on the package index, for a Python that came without: arguments are pip's.

The index is pip's: PIP_INDEX_URL, or PyPI.
"""

import os
import re
import runpy
import sys
import tempfile
import urllib.parse
import urllib.request

index = os.environ.get("PIP_INDEX_URL", "https://pypi.org/simple").rstrip("/") + "/pip/"
with urllib.request.urlopen(index, timeout=30) as answer:
    page = answer.read().decode()
wheels = re.findall(r'href="([^"]*/pip-(\d+)\.(\d+)(?:\.(\d+))?-py3-none-any\.whl[^"]*)"', page)
link = max(wheels, key=lambda wheel: [int(part or 0) for part in wheel[1:]])[0]
with tempfile.TemporaryDirectory() as folder:
    path = os.path.join(folder, "pip.whl")
    with urllib.request.urlopen(urllib.parse.urljoin(index, link), timeout=60) as answer, open(path, "wb") as wheel:
        wheel.write(answer.read())
    sys.path.insert(0, path)
    sys.argv = ["pip", *sys.argv[1:]]
    runpy.run_module("pip", run_name="__main__", alter_sys=True)
