"""From ONNX files to TensorRT engines: precision, profiles, the build, and the cache of what was built."""
