"""Speed and memory against a plain loop of OpenCV's own classes, in the same run. Needs the extra ``demo``."""
