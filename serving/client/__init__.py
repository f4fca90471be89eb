"""Inference by an exported model: over TensorFlow Serving's REST or gRPC API, or in process.

Importing this loads neither TensorFlow nor gRPC; a RestClient never does.
"""

from pipelines.model_contract import BATCH, ModelProvenance, ReliabilityBin
from serving.client.balanced import BalancedModel
from serving.client.config import ModelConfig
from serving.client.connect import check_addresses, connect, connect_all, is_server, open_servers
from serving.client.errors import (
    Disagreement,
    FingerprintMismatch,
    InvalidRequest,
    ModelServerError,
    NotFound,
    Overloaded,
    Timeout,
    Unreachable,
)
from serving.client.grpc import GrpcClient
from serving.client.in_process import InProcessModel, load_model
from serving.client.model import Clips, Model, Prediction
from serving.client.rest import RestClient
from serving.client.sources import ModelSource, model_sources
from serving.client.spec import ModelSpec

__all__ = [
    "BATCH",
    "BalancedModel",
    "Clips",
    "Disagreement",
    "FingerprintMismatch",
    "GrpcClient",
    "InProcessModel",
    "InvalidRequest",
    "Model",
    "ModelConfig",
    "ModelProvenance",
    "ModelServerError",
    "ModelSource",
    "ModelSpec",
    "NotFound",
    "Overloaded",
    "Prediction",
    "ReliabilityBin",
    "RestClient",
    "Timeout",
    "Unreachable",
    "check_addresses",
    "connect",
    "connect_all",
    "is_server",
    "load_model",
    "model_sources",
    "open_servers",
]
