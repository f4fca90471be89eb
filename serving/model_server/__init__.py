"""A model server that speaks TensorFlow Serving's protocols, for one machine and for tests."""
