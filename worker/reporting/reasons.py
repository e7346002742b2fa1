"""Reason codes in words: one sentence each, shared by the page, the terminal and ``faceline explain``."""

IDENTITY_REASONS = {
    "no_usable_frame": "No frame was good enough to read the face: too small, too blurred or turned away.",
    "poor_quality": "The face was read, but all its frames together are too poor to rest a name on.",
    "too_few_frames": "The best match is good, but too few frames in a row have agreed on it yet.",
    "no_match": "Nobody enrolled looks enough like this person: a stranger, as far as is known.",
    "below_threshold": "Somebody enrolled looks similar, but not enough to be named at the wanted error rate.",
    "ambiguous": "Two enrolled people match about equally well, so neither is named.",
    "empty_gallery": "Nobody is enrolled, so nobody could be named.",
    "no_consent": "Nobody enrolled has a consent in force for this purpose, so nobody may be matched.",
    "other_embedder": "The enrolled templates were made by another model; enrol these people again.",
    "evidence_against": "Later frames spoke against the name, so it was withdrawn.",
    "erased": "The person was deleted from the gallery, so the name no longer holds.",
}

EVENT_REASONS = {
    "another_person": "Later frames match another enrolled person better; the earlier name is retracted.",
    "evidence_against": "Later frames spoke against the name; it is retracted and nobody is named.",
    "erased": "The person was deleted from the gallery; the name is retracted.",
    "left": "The face was no longer seen.",
    "track_split": "The track had come to show another person; it ends here and the rest goes on as a new track.",
    "camera_reset": "The camera's clock was set back, so everything open was closed.",
    "partition_moved": "The camera moved to another partition; its tracks begin anew there.",
    "end_of_input": "The input ended while the face was still there.",
}

REFUSALS = {
    "late": "not newer than the camera's newest frame",
    "empty": "no bytes",
    "too_many_bytes": "more bytes than allowed",
    "too_many_pixels": "more pixels than allowed",
    "too_small": "image too small to hold a face",
    "too_complex": "an encoding made to exhaust the reader",
    "unsupported_format": "not a JPEG, PNG or WebP image",
    "truncated": "the image ends too early",
    "corrupt": "the image's data are damaged",
    "bad_header": "the image's header can't be read",
    "missing_key": "the record names no camera",
    "bad_key": "the camera's id can't be read",
    "unknown_type": "the message is no camera frame",
}

KINDS = {
    "appeared": "A face is being followed; nobody is named yet.",
    "tentative": "A name, not yet certain: act on it only if being wrong is cheap.",
    "confirmed": "A name, confirmed by several frames in a row.",
    "revised": "Retracts what was said before.",
    "present": "Still there.",
    "departed": "The track is over.",
}

STATUS_WORDS = {"known": "known", "tentative": "tentative", "unknown": "not named"}

# What Played.outcomes counts beside the outcomes of frames.
FRAME_NOTES = {
    "embedded": "faces read by the recognizer",
    "faces_over_limit": "faces passed over, more than a frame may hold",
    "malformed_time": "unreadable capture times replaced by the record's",
    "replaced_time": "implausible capture times replaced by the record's",
    "new_epoch": "times that a camera's clock was set back",
    "track_split": "tracks split because they came to show another person",
}


def why_nobody(code: str | None) -> str:
    """Why nobody is named, as a sentence."""
    if code is None:
        return "No reason was given."
    return IDENTITY_REASONS.get(code, f"Reason: {code}.")


def event_reason(code: str) -> str:
    """Why an event was revised or departed, as a sentence."""
    return EVENT_REASONS.get(code, f"Reason: {code}.")


def refusal(code: str) -> str:
    """Why a frame wasn't processed, as a phrase."""
    return REFUSALS.get(code, code.replace("_", " "))
