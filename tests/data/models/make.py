"""Makes what tests/models compares flaggate with: what scikit-learn learns and says, and models exported to ONNX.

    python3 -m venv target/venv
    target/venv/bin/pip install -r tests/data/models/requirements.txt
    target/venv/bin/python tests/data/models/make.py
"""

import base64
import json
import pathlib

import numpy
from people import COLUMNS, PLANS, person, place
from sklearn.cluster import KMeans
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import StandardScaler

HERE = pathlib.Path(__file__).parent
PEOPLE = 20_000
SEED = 7
GROUPS = COLUMNS[:3]


def write(name, value):
    (HERE / name).write_text(json.dumps(value, indent=None) + "\n")


def filled(scaled):
    return numpy.nan_to_num(scaled, nan=0.0)


def trained():
    people = [person(number) for number in range(PEOPLE)]
    rows = numpy.array([[numpy.nan if value is None else value for value in row] for row, _ in people])
    left = numpy.array([left for _, left in people])
    # A row without any of the columns is left out, as flaggate leaves it out.
    used = lambda columns: [i for i in range(PEOPLE) if not numpy.isnan(rows[i, :columns]).all()]
    split = lambda numbers: sorted(numbers, key=lambda number: place(SEED, f"user-{number}"))
    learnt = lambda numbers: [number for at, number in enumerate(split(numbers)) if at % 5 != 4]
    held = lambda numbers: [number for at, number in enumerate(split(numbers)) if at % 5 == 4]

    width = len(GROUPS)
    scaler = StandardScaler().fit(rows[learnt(used(width)), :width])
    scaled = filled(scaler.transform(rows[:, :width]))
    kmeans = KMeans(n_clusters=4, n_init=10, tol=0.0, max_iter=1000, random_state=0).fit(scaled[learnt(used(width))])
    write("groups.json", {
        "document": {"id": "groups", "kind": "kmeans", "feature_columns": GROUPS,
                     "scaler": {"mean": scaler.mean_.tolist(), "scale": scaler.scale_.tolist()},
                     "centroids": kmeans.cluster_centers_.tolist()},
        "inertia": kmeans.inertia_,
        "labels": "".join(str(label) for label in kmeans.predict(scaled)),
    })

    numbers = used(len(COLUMNS))
    scaler = StandardScaler().fit(rows[learnt(numbers)])
    scaled = filled(scaler.transform(rows))
    logistic = LogisticRegression(C=1.0, solver="newton-cholesky", tol=1e-10).fit(scaled[learnt(numbers)], left[learnt(numbers)])
    said = logistic.predict_proba(scaled)[:, 1]
    back = held(numbers)
    write("churn.json", {
        "document": {"id": "churn", "kind": "logistic", "feature_columns": COLUMNS, "encodings": {"plan": PLANS},
                     "scaler": {"mean": scaler.mean_.tolist(), "scale": scaler.scale_.tolist()},
                     "coefficients": logistic.coef_[0].tolist(), "intercept": logistic.intercept_[0], "label": "left"},
        "auc": roc_auc_score(left[back], said[back]),
        "accuracy": float(((said[back] >= 0.5) == left[back]).mean()),
        # In billionths.
        "probabilities": [round(float(probability) * 1e9) for probability in said],
    })


if __name__ == "__main__":
    trained()
