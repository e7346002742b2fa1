"""How ``by_sklearn.json`` was made: ``python by_sklearn.py > by_sklearn.json`` with scikit-learn 1.9.1.

scikit-learn is no dependency of the tests, so its answers are kept.
"""

import json
import sys

import numpy as np
from sklearn.calibration import calibration_curve
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import det_curve, top_k_accuracy_score


def main() -> None:
    """Small inputs, with ties, and what scikit-learn makes of them."""
    rng = np.random.default_rng(0)
    genuine, impostor = rng.normal(1.5, 1, 60).round(1), rng.normal(0, 1, 140).round(1)
    label = np.concatenate([np.ones(60), np.zeros(140)])
    fpr, fnr, thresholds = det_curve(label, np.concatenate([genuine, impostor]))

    weight = np.concatenate([np.full(60, 0.5 / 60), np.full(140, 0.5 / 140)])
    scores = np.concatenate([genuine, impostor])[:, None]
    fitted = LogisticRegression(C=1e8, tol=1e-10, max_iter=10_000).fit(scores, label, weight)

    probability = rng.uniform(0, 1, 400)
    right = rng.random(400) < probability**1.5
    share, told = calibration_curve(right, probability, n_bins=10)

    table, own = rng.normal(0, 1, (50, 12)), rng.integers(0, 12, 50)
    table[np.arange(50), own] += 1.5
    json.dump(
        {
            "genuine": genuine.tolist(),
            "impostor": impostor.tolist(),
            "det": {"fpr": fpr.tolist(), "fnr": fnr.tolist(), "thresholds": thresholds.tolist()},
            "logistic": {"scale": float(fitted.coef_[0, 0]), "offset": -float(fitted.intercept_[0])},
            "probability": probability.tolist(),
            "right": right.tolist(),
            "calibration": {"told": told.tolist(), "so": share.tolist()},
            "table": table.tolist(),
            "own": own.tolist(),
            "rank1": float(top_k_accuracy_score(own, table, k=1)),
        },
        sys.stdout,
    )


if __name__ == "__main__":
    main()
