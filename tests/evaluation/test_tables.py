"""Tables that the page shows, of figures written by hand."""

from worker.evaluation.page import _reliability
from worker.evaluation.tables import ece_table

TOLD = {
    "ece": 0.0231, "prior": "0.5 of those who come are enrolled", "gallery_sizes": [70, 70], "bins": [],
    "ece_by_set": {"A-4": 0.0361, "A-8": 0.0183, "B-4": 0.0496},
}  # fmt: skip


def test_the_probabilitys_error_is_told_by_set_and_length() -> None:
    """A mean over sets and lengths hides that short tracks are told worse; what wasn't measured is a dash."""
    head, lines = ece_table(TOLD)
    assert head == ["set", "T=4", "T=8"]
    assert lines == [["A", "0.0361", "0.0183"], ["B", "0.0496", "–"]]
    page = _reliability({"probability": TOLD})
    assert all(f"<td>{cell}</td>" in page for line in lines for cell in line)
