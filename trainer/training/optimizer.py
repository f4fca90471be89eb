"""AdamW with a learning rate of its own for the backbone, a fused update, and its schedule."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import tensorflow as tf

from trainer.config import TrainConfig

NO_DECAY = ("bias", "gamma", "beta", "positions")  # in the names of variables


def warmup_cosine(peak: float, steps: int, warmup: float) -> keras.optimizers.schedules.CosineDecay:
    """Rises along a line to `peak` in a share of the steps, then falls along a half cosine."""
    rising = int(steps * warmup)
    return keras.optimizers.schedules.CosineDecay(
        peak / 20 if rising else peak,
        max(1, steps - rising),
        alpha=0.01,
        warmup_target=peak if rising else None,
        warmup_steps=rising,
    )


@keras.saving.register_keras_serializable("trainer")
class DetectorAdamW(keras.optimizers.AdamW):
    """AdamW (Loshchilov and Hutter 2019) with `slow_rate` times the rate for some variables.

    The update itself is TensorFlow's fused kernel: what Keras spells out in a dozen operations
    reads and writes all weights and moments in each of them.
    """

    def __init__(self, *args, slow_rate: float = 1.0, **kwargs):
        super().__init__(*args, **kwargs)
        self.slow_rate = slow_rate
        self._slow: set[str] = set()

    def slow_down(self, variables: Sequence[keras.Variable]) -> None:
        """Which variables learn at `slow_rate` times the rate. To be called before `build`."""
        self._slow = {self._var_key(variable) for variable in variables}

    def _apply_weight_decay(self, variables) -> None:
        pass  # is part of update_step, where each variable's own rate is known

    def _clip_gradients(self, grads):
        return grads  # is part of _all_reduce_sum_gradients

    def _all_reduce_sum_gradients(self, grads_and_vars):
        """Keras clips each device's gradients before it sums them: a step on two devices would
        not be that on one with the same clips."""
        reduced = super()._all_reduce_sum_gradients(grads_and_vars)
        grads, variables = zip(*reduced, strict=True)
        return list(zip(super()._clip_gradients(list(grads)), variables, strict=True))

    def update_step(self, gradient, variable, learning_rate) -> None:
        index = self._get_variable_index(variable)
        dtype = variable.dtype
        rate = tf.cast(learning_rate, dtype)
        if self._var_key(variable) in self._slow:
            rate *= self.slow_rate
        if self.weight_decay and self._use_weight_decay(variable):
            variable.assign_sub(variable * (rate * self.weight_decay))
        step = tf.cast(self.iterations.value + 1, dtype)
        tf.raw_ops.ResourceApplyAdam(
            var=_handle(variable),
            m=_handle(self._momentums[index]),
            v=_handle(self._velocities[index]),
            beta1_power=tf.pow(tf.cast(self.beta_1, dtype), step),
            beta2_power=tf.pow(tf.cast(self.beta_2, dtype), step),
            lr=rate,
            beta1=tf.cast(self.beta_1, dtype),
            beta2=tf.cast(self.beta_2, dtype),
            epsilon=tf.cast(self.epsilon, dtype),
            grad=tf.cast(gradient, dtype),
        )

    def finalize_variable_values(self, var_list) -> None:
        """Keras would end every `fit` by overwriting the weights with their averages. A training
        is several calls of `fit`; its averages go into the model that is kept instead."""

    def averages(self) -> dict[str, keras.Variable]:
        """The moving averages of the trainable variables by their paths; none without `use_ema`."""
        if not self.use_ema:
            return {}
        averages = zip(self._trainable_variables, self._model_variables_moving_average, strict=True)
        return {variable.path: average for variable, average in averages}

    def get_config(self):
        return {**super().get_config(), "slow_rate": self.slow_rate}


def _handle(variable):
    return (variable.value if isinstance(variable, keras.Variable) else variable).handle


def make_optimizer(
    config: TrainConfig, model: keras.Model, backbone: keras.Model, steps: int
) -> DetectorAdamW:
    """The optimizer for `steps` steps in which the backbone learns, or is not trainable."""
    optimizer = DetectorAdamW(
        warmup_cosine(config.learning_rate, steps, config.warmup),
        slow_rate=config.backbone_rate,
        weight_decay=config.weight_decay,
        global_clipnorm=config.clip_norm,
        use_ema=config.ema > 0,
        ema_momentum=config.ema or 0.99,
    )
    optimizer.exclude_from_weight_decay(var_names=list(NO_DECAY))
    optimizer.slow_down(backbone.trainable_variables)
    optimizer.build(model.trainable_variables)
    return optimizer
