"""Trained runs as ONNX: a folder that answers with onnxruntime alone, and a network that runs from it."""
