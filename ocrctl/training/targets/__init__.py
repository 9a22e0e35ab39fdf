"""The maps that detectors learn from, made on the device for a whole batch: the other half of `ocrctl/data/targets`."""
