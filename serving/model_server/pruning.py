"""Pruning of a signature's function to some of its outputs.

TensorFlow Serving fetches the outputs that are asked for from a Session, which executes what they
depend on (`output_filter` in servables/tensorflow/predict_util.cc, 2.20). A function executes
everything that may fail or has effects, so it is cut here. What guards no output in particular,
such as an assertion about the inputs, stays: no answer is had by not asking for the check.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Any

import tensorflow as tf
from tensorflow.python.framework.function_def_to_graph import function_def_to_graph

_CALLS = ("PartitionedCall", "StatefulPartitionedCall")


def pruned(function: Any, wanted: Collection[str]) -> Callable[..., dict[str, tf.Tensor]]:
    """Takes the inputs of `function`, a restored signature, by name, and gives the wanted outputs.

    What only other outputs depend on is not executed.
    """
    specs = function.structured_input_signature[1]
    names = sorted(specs)  # the order of the graph's inputs
    outputs = dict(function.structured_outputs)
    body = _Body.of(function, names, sorted(outputs))
    kept = [i for i, name in enumerate(sorted(outputs)) if name in wanted]
    graph_def = body.graph_def(kept)
    nodes = {node.name for node in graph_def.node}

    @tf.function
    def cut(*values: tf.Tensor) -> list[tf.Tensor]:
        graph = tf.compat.v1.get_default_graph()
        given = dict(zip(names, values, strict=True))
        fed = {
            inner: given[outer] if isinstance(outer, str) else graph.capture(outer)
            for inner, outer in body.inputs.items()
            if inner in nodes
        }
        fetched = [body.outputs[i].name for i in kept]
        tensors = tf.graph_util.import_graph_def(graph_def, fed, fetched, name="")
        return [tf.identity(tensor) for tensor in tensors]

    concrete = cut.get_concrete_function(*(specs[name] for name in names))
    kept_names = [sorted(outputs)[i] for i in kept]

    def run(**inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        tensors = concrete(*(inputs[name] for name in names))
        return dict(zip(kept_names, tensors, strict=True))

    return run


class _Body:
    """The graph that computes a function's outputs, without the calls around it.

    inputs: placeholder's name -> the name of the function's input, or the tensor that is captured.
    """

    def __init__(self, graph: Any, inputs: dict[str, Any], outputs: list[tf.Tensor]):
        self.graph, self.inputs = graph, inputs
        # A function's last operations pass the outputs on, after everything that has effects.
        self.ends = [t.op for t in outputs]
        self.outputs = [_passed_on(tensor) for tensor in outputs]

    @classmethod
    def of(cls, function: Any, names: list[str], outputs: list[str]) -> _Body:
        graph = function.graph
        captured = {inner.op.name: outer for outer, inner in graph.captures}
        free = [t.op.name for t in graph.inputs if t.op.name not in captured]
        inputs = {**captured, **dict(zip(free, names, strict=True))}
        named = function.structured_outputs  # tensors in a model of TensorFlow 1, else their specs
        flat = dict(zip(sorted(named), graph.outputs, strict=True))
        found = [named[n] if isinstance(named[n], tf.Tensor) else flat[n] for n in outputs]
        body = cls(graph, inputs, found)
        while (inner := body._entered()) is not None:
            body = inner
        return body

    def _entered(self) -> _Body | None:
        """The body of the function that computes all outputs, where there is one."""
        calls = {tensor.op for tensor in self.outputs}
        call = next(iter(calls))
        fed = [tensor.op.name for tensor in call.inputs]
        if len(calls) > 1 or call.type not in _CALLS or not self.inputs.keys() >= set(fed):
            return None
        name = call.get_attr("f").name
        library = self.graph.as_graph_def().library.function
        (definition,) = [f for f in library if f.signature.name == name]
        graph = function_def_to_graph(definition)
        graph_inputs = [tensor.op.name for tensor in graph.inputs]
        inputs = {inner: self.inputs[outer] for inner, outer in zip(graph_inputs, fed, strict=True)}
        return _Body(graph, inputs, [graph.outputs[t.value_index] for t in self.outputs])

    def graph_def(self, kept: Iterable[int]) -> Any:
        """The graph's nodes that these outputs need."""
        needed = {op.name for op in self._needed(kept)}
        graph_def = self.graph.as_graph_def()
        nodes = [node for node in graph_def.node if node.name in needed]
        del graph_def.node[:]
        graph_def.node.extend(nodes)
        return graph_def

    def _needed(self, kept: Iterable[int]) -> set[tf.Operation]:
        """What the kept outputs depend on, and what has effects but serves no other output."""
        wanted = _ancestors([self.outputs[i].op for i in kept], lambda op: op.control_inputs)
        others = _ancestors([tensor.op for tensor in self.outputs], _asked_for)
        effects = {op for end in self.ends for last in end.control_inputs for op in _effects(last)}
        return wanted | _ancestors(effects - others, lambda op: op.control_inputs)


def _passed_on(tensor: tf.Tensor) -> tf.Tensor:
    """Before the Identity at a function's end."""
    if tensor.op.type == "Identity" and tensor.op.control_inputs:
        return tensor.op.inputs[0]
    return tensor


def _effects(last: tf.Operation) -> list[tf.Operation]:
    return last.control_inputs if last.type == "NoOp" else [last]


def _asked_for(op: tf.Operation) -> list[tf.Operation]:
    """The control inputs that a model's author wrote: between operations with effects
    `tf.function` adds its own, to keep them in order."""
    return [] if op.op_def.is_stateful else op.control_inputs


def _ancestors(
    ops: Iterable[tf.Operation], controls: Callable[[tf.Operation], Iterable[tf.Operation]]
) -> set[tf.Operation]:
    """With themselves."""
    found: set[tf.Operation] = set()
    waiting = list(ops)
    while waiting:
        op = waiting.pop()
        if op not in found:
            found.add(op)
            waiting += [tensor.op for tensor in op.inputs] + list(controls(op))
    return found
