"""The steps a frame passes, in order: admit, decode, detect, track, sample, align, embed, recognize, identify, decide.

Each is pure: state, data, an engine and the capture time in; new state and outputs out. No stage opens
a socket, a file or a clock, and none knows where frames come from.
"""
