"""Models by their name on the hub, from a host of this machine that answers as the hub does."""

import hashlib
import http.server
import json
import os
import re
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path

import pytest
from test_extraction import bert as bert

pytest.importorskip("huggingface_hub")
pytestmark = pytest.mark.driver

COMMITS = {"main": "a" * 40, "v1": "b" * 40}
REFUSED = {"owner/gated": (403, "GatedRepo"), "owner/none": (401, "RepoNotFound")}


class Hub(http.server.BaseHTTPRequestHandler):
    """One model, at two revisions; a gated one; every other is unknown."""

    def __init__(self, folder: Path, asked: list[str], *args):
        self.folder, self.asked = folder, asked
        super().__init__(*args)

    def do_HEAD(self):
        self.answer(body=False)

    def do_GET(self):
        self.answer(body=True)

    def log_message(self, *_):
        pass

    def answer(self, *, body: bool) -> None:
        path = self.path.partition("?")[0]
        self.asked.append(f"{self.command} {path}")
        if found := re.fullmatch(r"/api/models/(owner/[^/]+)/tree/(\w+)(?:/.*)?", path):
            told = [{"type": "file", "path": file.relative_to(self.folder).as_posix(), "size": file.stat().st_size,
                     "oid": hashlib.sha1(file.read_bytes()).hexdigest()} for file in self.files()]  # fmt: skip
            self.send(json.dumps(told).encode(), body, {"Content-Type": "application/json"})
        elif found := re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/revision/(.+))?", path):
            name, revision = found[1], found[2] or "main"
            if name != "owner/tiny-bert":
                self.refuse(*REFUSED[name])
            elif revision not in (*COMMITS, *COMMITS.values()):
                self.refuse(404, "RevisionNotFound")
            else:
                files = [file.relative_to(self.folder).as_posix() for file in self.files()]
                about = {"id": name, "sha": COMMITS.get(revision, revision), "private": False, "tags": [],
                         "siblings": [{"rfilename": file} for file in files]}  # fmt: skip
                self.send(json.dumps(about).encode(), body, {"Content-Type": "application/json"})
        elif found := re.fullmatch(r"/(owner/[^/]+)/resolve/(\w+)/(.+)", path):
            content = (self.folder / found[3]).read_bytes()
            told = {
                "ETag": f'"{hashlib.sha256(content).hexdigest()}"',
                "X-Repo-Commit": COMMITS.get(found[2], found[2]),
            }
            self.send(content, body, told)
        else:
            self.refuse(404, "EntryNotFound")

    def files(self) -> list[Path]:
        return sorted(file for file in self.folder.rglob("*") if file.is_file())

    def send(self, content: bytes, body: bool, headers: dict[str, str]) -> None:
        self.send_response(200)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if body:
            self.wfile.write(content)

    def refuse(self, code: int, why: str) -> None:
        self.send_response(code)
        self.send_header("X-Error-Code", why)
        self.send_header("Content-Length", "0")
        self.end_headers()


@pytest.fixture
def hub(bert, tmp_path, monkeypatch):
    """The environment of a command that finds the hub there; what was asked of it; and a way to stop it."""
    (bert / "pytorch_model.bin").write_bytes(b"code")
    asked: list[str] = []
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Hub, bert, asked))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    environment |= {"HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}", "HF_HOME": str(tmp_path / "hf"),
                    "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}  # fmt: skip
    yield environment, asked, lambda: (server.shutdown(), server.server_close())
    (bert / "pytorch_model.bin").unlink()
    server.shutdown()
    server.server_close()


def test_a_name_on_the_hub(hub, bert, tmp_path):
    environment, asked, stop = hub
    (tmp_path / "texts.csv").write_text("text\n" + "".join(f"a b {letter}\n" for letter in "cdefgh"))

    def extract(model: str, *options: str, code: int = 0):
        command = [sys.executable, "-m", "w2sg_jax.cli", "extract", model, "--data", "texts.csv", "--text", "text"]
        done = subprocess.run([*command, *options], env=environment, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == code, done.stderr
        return done.stderr

    extract("owner/tiny-bert")
    fetched = {line.rpartition("/")[2] for line in asked if line.startswith("GET") and "/resolve/" in line}
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= fetched
    assert "pytorch_model.bin" not in fetched, "nothing that may hold code is fetched"
    assert COMMITS["main"] in " ".join(asked)
    # By content: the same model in a folder has its representations already.
    assert "6 rows are there" in extract(str(bert))
    # A revision of its own, of which the files are the same.
    assert "6 rows are there" in extract("owner/tiny-bert", "--revision", "v1")
    assert COMMITS["v1"] in " ".join(asked)
    assert "has no revision 'v9' on the hub" in extract("owner/tiny-bert", "--revision", "v9", code=2)
    assert "accept it at https://huggingface.co/owner/gated" in extract("owner/gated", code=2)
    assert "the hub knows no such model, or it is private" in extract("owner/none", code=2)
    stop()
    told = extract("owner/other", code=2)
    assert "the hub does not answer" in told and len(told.splitlines()) == 1
    assert "fetch https://huggingface.co/owner/other elsewhere" in told
