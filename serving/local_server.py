"""A local model server: TensorFlow Serving's REST predict API over a SavedModel.

https://www.tensorflow.org/tfx/serving/api_rest
"""

from __future__ import annotations

import argparse
import base64
import binascii
import contextlib
import json
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool

from serving.client import newest_version


class RequestError(ValueError):
    """A request that the model cannot answer; becomes status 400."""


class LoadedModel:
    """One version of a model, and the translation between JSON and its tensors."""

    def __init__(self, folder: Path):
        self.version = int(folder.name) if folder.name.isdigit() else 1
        # Behind a plain attribute: the loaded object tracks what it is assigned to.
        self._signatures = dict(tf.saved_model.load(str(folder)).signatures)

    def metadata(self) -> dict[str, Any]:
        """Inputs and outputs of each signature."""
        return {
            name: {
                "inputs": {k: _describe(s) for k, s in call.structured_input_signature[1].items()},
                "outputs": {k: _describe(s) for k, s in call.structured_outputs.items()},
            }
            for name, call in self._signatures.items()
        }

    def predict(self, body: Any) -> dict[str, Any]:
        """A request in row ("instances") or column ("inputs") format -> the response.

        Raises RequestError.
        """
        if not isinstance(body, dict) or ("instances" in body) == ("inputs" in body):
            raise RequestError("Give a JSON object with either 'instances' or 'inputs'.")
        unknown = set(body) - {"instances", "inputs", "signature_name"}
        if unknown:
            raise RequestError(f"Unknown keys {sorted(unknown)}.")
        name = body.get("signature_name", "serving_default")
        if name not in self._signatures:
            raise RequestError(f"No signature {name!r}; there are {sorted(self._signatures)}.")
        call = self._signatures[name]
        specs = call.structured_input_signature[1]
        by_row = "instances" in body
        values = _columns(body["instances"], specs) if by_row else _named(body["inputs"], specs)
        tensors = {key: _tensor(key, values[key], spec) for key, spec in specs.items()}
        if len({t.shape[0] for t in tensors.values()}) > 1:
            raise RequestError("The inputs differ in their first dimension, the batch.")
        try:
            outputs = {key: _plain(value.numpy()) for key, value in call(**tensors).items()}
        except tf.errors.InvalidArgumentError as error:
            raise RequestError(str(error.message)) from error
        return _response(outputs, by_row)


def _describe(spec: tf.TensorSpec) -> dict[str, Any]:
    return {"dtype": spec.dtype.name, "shape": [-1 if d is None else d for d in spec.shape]}


def _columns(instances: Any, specs: dict[str, tf.TensorSpec]) -> dict[str, list]:
    """Row format: a list of {name: value}, or of bare values where there is one input."""
    if not isinstance(instances, list) or not instances:
        raise RequestError("'instances' must be a list that is not empty.")
    if len(specs) == 1 and not (isinstance(instances[0], dict) and set(instances[0]) == set(specs)):
        return {next(iter(specs)): instances}
    if not all(isinstance(row, dict) and set(row) == set(specs) for row in instances):
        raise RequestError(f"Each instance must be an object with the keys {sorted(specs)}.")
    return {key: [row[key] for row in instances] for key in specs}


def _named(inputs: Any, specs: dict[str, tf.TensorSpec]) -> dict[str, Any]:
    """Column format: {name: batch}, or a bare batch where there is one input."""
    if isinstance(inputs, dict) and set(inputs) == set(specs):
        return inputs
    if len(specs) == 1 and not isinstance(inputs, dict):
        return {next(iter(specs)): inputs}
    found = sorted(inputs) if isinstance(inputs, dict) else type(inputs).__name__
    raise RequestError(f"'inputs' has {found}; expected the keys {sorted(specs)}.")


def _tensor(name: str, value: Any, spec: tf.TensorSpec) -> tf.Tensor:
    try:
        tensor = tf.constant(_decoded(value), spec.dtype)
    except (ValueError, TypeError, tf.errors.OpError) as error:
        raise RequestError(f"{name}: not a {spec.dtype.name} tensor ({error}).") from error
    if not spec.shape.is_compatible_with(tensor.shape):
        raise RequestError(f"{name}: shape {tensor.shape}, expected {spec.shape}.")
    return tensor


def _decoded(value: Any) -> Any:
    if isinstance(value, dict):
        if set(value) != {"b64"}:
            raise ValueError(f"an object with the keys {sorted(value)}; only {{'b64': ...}} is one")
        try:
            return base64.b64decode(value["b64"], validate=True)
        except binascii.Error as error:
            raise ValueError(f"bad base64: {error}") from error
    return [_decoded(item) for item in value] if isinstance(value, list) else value


def _plain(array: np.ndarray) -> Any:
    if array.dtype == object:
        return np.vectorize(lambda b: b.decode(), otypes=[object])(array).tolist()
    return array.tolist()


def _response(outputs: dict[str, Any], by_row: bool) -> dict[str, Any]:
    if not by_row:
        return {"outputs": next(iter(outputs.values())) if len(outputs) == 1 else outputs}
    if len(outputs) == 1:
        return {"predictions": next(iter(outputs.values()))}
    rows = zip(*outputs.values(), strict=True)
    return {"predictions": [dict(zip(outputs, row, strict=True)) for row in rows]}


def create_app(folder: Path, name: str) -> FastAPI:
    """The server for the newest version of the model in `folder`."""
    model = LoadedModel(newest_version(folder))
    app = FastAPI(title="dfdetect model server", docs_url=None, redoc_url=None)

    def error(status: int, text: str) -> JSONResponse:
        return JSONResponse({"error": text}, status)

    def unknown(model_name: str, version: int | None) -> JSONResponse | None:
        if model_name != name:
            return error(404, f"Servable not found for request: Latest({model_name})")
        if version is not None and version != model.version:
            return error(404, f"Servable not found for request: Specific({name}, {version})")
        return None

    async def predict(
        request: Request, model_name: str, version: int | None = None
    ) -> JSONResponse:
        if refusal := unknown(model_name, version):
            return refusal
        try:
            body = json.loads(await request.body())
        except ValueError as problem:
            return error(400, f"JSON Parse error: {problem}")
        try:
            return JSONResponse(await run_in_threadpool(model.predict, body))
        except RequestError as problem:
            return error(400, str(problem))

    async def status(model_name: str, version: int | None = None) -> JSONResponse:
        state = {"version": str(model.version), "state": "AVAILABLE"}
        state["status"] = {"error_code": "OK", "error_message": ""}  # type: ignore[assignment]
        return unknown(model_name, version) or JSONResponse({"model_version_status": [state]})

    async def metadata(model_name: str, version: int | None = None) -> JSONResponse:
        spec = {"name": name, "signature_name": "", "version": str(model.version)}
        body = {"model_spec": spec, "metadata": {"signature_def": model.metadata()}}
        return unknown(model_name, version) or JSONResponse(body)

    for prefix in ("/v1/models/{model_name}", "/v1/models/{model_name}/versions/{version}"):
        app.post(f"{prefix}:predict")(predict)
        app.get(f"{prefix}/metadata")(metadata)
        app.get(prefix)(status)
    return app


def _bind(host: str, port: int) -> socket.socket:
    """Raises OSError where the port is taken."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise OSError(
            f"{host}:{port}: cannot listen there ({error.strerror}). Give another --rest-port."
        ) from error
    return listener


@contextlib.contextmanager
def start_in_thread(folder: str | Path, name: str = "dfdetect") -> Iterator[str]:
    """Serves the model on a free port of this machine while the context lasts -> its URL."""
    listener = _bind("127.0.0.1", 0)
    server = uvicorn.Server(
        uvicorn.Config(create_app(Path(folder), name), log_level="warning", ws="none")
    )
    thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
    thread.start()
    while not server.started and thread.is_alive():
        time.sleep(0.02)
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


def _find_model(base: Path, name: str) -> Path:
    """The model's folder: `base`, or `base`/`name`."""
    return base / name if (base / name).is_dir() else base


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="dfdetect serve",
        description="Serve a SavedModel over TensorFlow Serving's REST API.",
        allow_abbrev=False,
    )
    parser.add_argument("--model-base", type=Path, required=True, help="what `export` wrote")
    parser.add_argument("--model-name", default="dfdetect", help="(default: %(default)s)")
    parser.add_argument("--host", default="127.0.0.1", help="(default: %(default)s)")
    parser.add_argument("--rest-port", type=int, default=8501, help="(default: %(default)s)")
    args = parser.parse_args(argv)
    try:
        folder = newest_version(_find_model(args.model_base, args.model_name))
        listener = _bind(args.host, args.rest_port)
    except OSError as error:
        print(f"dfdetect serve: {error}", file=sys.stderr)
        return 1
    app = create_app(folder, args.model_name)
    print(
        f"{folder} at http://{args.host}:{args.rest_port}/v1/models/{args.model_name}", flush=True
    )
    uvicorn.Server(uvicorn.Config(app, log_level="warning", ws="none")).run([listener])
    return 0


if __name__ == "__main__":
    sys.exit(main())
