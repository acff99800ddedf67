"""A box for files. They are in a volume, so they stay when a new release replaces this one."""

import errno
import os
import shutil
from pathlib import Path
from secrets import token_hex

from flask import Flask, Response, redirect, render_template, request, send_from_directory, url_for
from werkzeug.utils import secure_filename

FOLDER = Path(os.environ.get("FILES", "/data"))
app = Flask(__name__)


@app.get("/")
def page() -> str:
    found = sorted(path for path in FOLDER.glob("[!.]*") if path.is_file())
    disk = shutil.disk_usage(FOLDER)
    return render_template(
        "files.html",
        files=[(path.name, path.stat().st_size) for path in found],
        free=disk.free // 1024,
        total=disk.total // 1024,
    )


@app.post("/")
def upload() -> Response | tuple[str, int]:
    file = request.files.get("file")
    name = secure_filename(file.filename or "") if file else ""
    if file is None or not name:
        return "Choose a file.\n", 400
    # a reader sees the whole file or none of it
    fresh = FOLDER / f".{token_hex(8)}"
    try:
        file.save(fresh)
        fresh.rename(FOLDER / name)
    except OSError as error:
        fresh.unlink(missing_ok=True)
        if error.errno != errno.ENOSPC:
            raise
        return "The volume is full. Delete a file, or make the volume larger.\n", 507
    return redirect(url_for("page"), code=303)


@app.get("/files/<name>")
def download(name: str) -> Response:
    return send_from_directory(FOLDER, name, as_attachment=True)


@app.post("/files/<name>/delete")
def delete(name: str) -> Response:
    (FOLDER / secure_filename(name)).unlink(missing_ok=True)
    return redirect(url_for("page"), code=303)
