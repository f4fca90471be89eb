"""The proxy in front of the web application, by nginx itself before a server of this test."""

import http.server
import re
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from serving.web.settings import Settings
from tests.fixtures import ROOT

CONFIG = (ROOT / "serving" / "deploy" / "nginx.conf").read_text()
needs_nginx = pytest.mark.skipif(
    not (shutil.which("nginx") and shutil.which("openssl")), reason="needs nginx and openssl"
)
LIMIT_S = 60


def test_it_takes_files_as_large_as_the_application_does():
    (megabytes,) = re.findall(r"client_max_body_size (\d+)m;", CONFIG)
    largest = Settings(model="model").max_bytes
    assert largest < int(megabytes) * 2**20 < 1.1 * largest


def test_it_asks_where_the_application_listens_by_default():
    settings = Settings(model="model")
    assert set(re.findall(r"proxy_pass (\S+);", CONFIG)) == {
        f"http://{settings.host}:{settings.port}"
    }


class Application(http.server.BaseHTTPRequestHandler):
    """Sends a second event, and takes the rest of a body, only after the test has had the first."""

    protocol_version = "HTTP/1.1"
    first_came, go_on = threading.Event(), threading.Event()

    def do_GET(self):
        self.send_response(200)
        self.send_header("Host-Asked-For", self.headers["Host"])
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(b"first\n")
        self.wfile.flush()
        if self.path.endswith("/events"):
            self.go_on.wait(LIMIT_S)
        self.wfile.write(b"second\n")

    def do_POST(self):
        size = int(self.headers["Content-Length"])
        self.rfile.read(10)
        self.first_came.set()
        self.rfile.read(size - 10)
        self.send_response(202)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """With a certificate for 127.0.0.1."""
    made = tmp_path_factory.mktemp("n")
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-keyout", made / "privkey.pem", "-out", made / "fullchain.pem"]
    subprocess.run([*command.split(), *names, *files], check=True, capture_output=True)
    return made


@pytest.fixture(scope="module")
def sockets(folder) -> Iterator[dict[int, str]]:
    """Paths of the sockets on which nginx, with the shipped configuration but for places, listens
    instead of at a port: port -> path."""
    paths = {port: f"{folder}/{port}" for port in (80, 443)}
    application = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Application)
    threading.Thread(target=application.serve_forever, daemon=True).start()
    text = CONFIG.replace("127.0.0.1:8080", f"127.0.0.1:{application.server_port}")
    text = text.replace("/etc/nginx/dfdetect", str(folder))
    for port, path in paths.items():
        text = re.sub(rf"listen {port}\b", f"listen unix:{path}", text)
    (folder / "nginx.conf").write_text(
        f"daemon off; master_process off; pid {folder}/pid;\n"
        f"events {{}}\nhttp {{ client_body_temp_path {folder}/body;\n{text}\n}}\n"
    )
    command = ["nginx", "-p", folder, "-e", "stderr", "-c", folder / "nginx.conf"]
    with subprocess.Popen(command) as process:
        try:
            yield paths
        finally:
            process.terminate()
            application.shutdown()
            application.server_close()


def client(path: str, folder: Path, address: str) -> httpx.Client:
    """Tries again while nginx starts."""
    trusted = ssl.create_default_context(cafile=str(folder / "fullchain.pem"))
    transport = httpx.HTTPTransport(verify=trusted, uds=path, retries=6)
    return httpx.Client(base_url=address, transport=transport, timeout=LIMIT_S)


@pytest.fixture(scope="module")
def proxy(sockets, folder) -> Iterator[httpx.Client]:
    with client(sockets[443], folder, "https://127.0.0.1") as made:
        yield made


@needs_nginx
def test_progress_comes_as_it_is_made(proxy):
    Application.go_on.clear()
    with proxy.stream("GET", "/api/v1/jobs/x/events") as answer:
        lines = answer.iter_lines()
        assert next(lines) == "first"
        Application.go_on.set()
        assert next(lines) == "second"
    assert answer.headers["Host-Asked-For"] == "127.0.0.1"
    assert "max-age" in answer.headers["Strict-Transport-Security"]


@needs_nginx
def test_an_upload_is_handed_on_while_it_comes_in(proxy):
    Application.first_came.clear()

    def body():
        yield b"x" * 100_000
        assert Application.first_came.wait(LIMIT_S)
        yield b"y" * 2_000_000

    answer = proxy.post("/api/v1/jobs", content=body(), headers={"Content-Length": "2100000"})
    assert answer.status_code == 202


@needs_nginx
def test_a_file_that_is_too_large_is_refused_by_what_it_says_of_itself(proxy, sockets, folder):
    assert proxy.get("/").status_code == 200  # it listens by now
    trusted = ssl.create_default_context(cafile=str(folder / "fullchain.pem"))
    with socket.socket(socket.AF_UNIX) as plain:
        plain.settimeout(LIMIT_S)
        plain.connect(sockets[443])
        with trusted.wrap_socket(plain, server_hostname="127.0.0.1") as tls:
            head = "POST /api/v1/jobs HTTP/1.1", "Host: 127.0.0.1", "Content-Length: 300000000"
            tls.sendall("\r\n".join([*head, "", ""]).encode())
            assert tls.recv(100).startswith(b"HTTP/1.1 413 ")


@needs_nginx
def test_plain_http_leads_to_tls(sockets, folder):
    with client(sockets[80], folder, "http://127.0.0.1") as plain:
        answer = plain.get("/x?y=1")
    assert answer.status_code == 308 and answer.headers["Location"] == "https://127.0.0.1/x?y=1"
