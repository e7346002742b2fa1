"""What a cheaper precision of the embedder costs: the guard over fp16 and int8, and int8's calibration."""
