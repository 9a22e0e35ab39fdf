"""What a text detector learns from polygons: one file per model. numpy and cv2 only, one picture at a time."""
