"""Status and metadata responses, as both protocols give them: versions' states, signatures."""

from __future__ import annotations

from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2

from serving.model_server.servable import Servable
from serving.model_server.versions import Models


def status(
    models: Models, name: str, number: int | None
) -> get_model_status_pb2.GetModelStatusResponse:
    """Raises StatusError where there is no such model or version."""
    response = get_model_status_pb2.GetModelStatusResponse()
    states = get_model_status_pb2.ModelVersionStatus.State
    for version in models.statuses(name, number):
        entry = response.model_version_status.add(
            version=version.number, state=states.Value(version.state)
        )
        entry.status.error_code = version.error.code.value[0] if version.error else 0
        entry.status.error_message = version.error.message if version.error else ""
    return response


def signature_map(servable: Servable) -> get_model_metadata_pb2.SignatureDefMap:
    signatures = get_model_metadata_pb2.SignatureDefMap()
    for name, signature in servable.signatures.items():
        signatures.signature_def[name].CopyFrom(signature)
    return signatures
