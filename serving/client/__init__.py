"""Asking a model: over TensorFlow Serving's REST or gRPC API, or loaded in this process.

Importing this loads neither TensorFlow nor gRPC; a RestClient never does.
"""

from serving.client.config import ModelConfig, ModelFacts, ReliabilityBin
from serving.client.connect import connect, is_server
from serving.client.errors import (
    FingerprintMismatch,
    InvalidRequest,
    ModelServerError,
    NotFound,
    Overloaded,
    Timeout,
    Unreachable,
)
from serving.client.grpc import GrpcClient
from serving.client.in_process import InProcessModel, model_folder, newest_version
from serving.client.model import BATCH, Clips, Model, Prediction
from serving.client.rest import RestClient
from serving.client.spec import ModelSpec

__all__ = [
    "BATCH",
    "Clips",
    "FingerprintMismatch",
    "GrpcClient",
    "InProcessModel",
    "InvalidRequest",
    "Model",
    "ModelConfig",
    "ModelFacts",
    "ModelServerError",
    "ModelSpec",
    "NotFound",
    "Overloaded",
    "Prediction",
    "ReliabilityBin",
    "RestClient",
    "Timeout",
    "Unreachable",
    "connect",
    "is_server",
    "model_folder",
    "newest_version",
]
