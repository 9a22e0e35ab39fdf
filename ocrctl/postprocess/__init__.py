"""From a detector's maps to boxes: one file per model. numpy, cv2 and shapely; no torch, so ONNX models use it too."""
