"""Makes what tests/models compares flaggate with: what scikit-learn learns and says, and models exported to ONNX.

    python3 -m venv target/venv
    target/venv/bin/pip install -r tests/data/models/requirements.txt
    target/venv/bin/python tests/data/models/make.py
"""

import base64
import json
import pathlib

import numpy
import onnx
import onnxruntime
from people import COLUMNS, PLANS, person, place
from skl2onnx import to_onnx
from sklearn.cluster import KMeans
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

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


def exported():
    """Models as ONNX, and what onnxruntime says for the first 1 000 people, missing features taken for the mean."""
    people = [person(number) for number in range(4_000)]
    rows = numpy.array([[numpy.nan if value is None else value for value in row] for row, _ in people], dtype=numpy.float32)
    left = numpy.array([left for _, left in people])
    mean = numpy.nanmean(rows, axis=0)
    whole = numpy.where(numpy.isnan(rows), mean, rows)
    said_mean = [float(value) for value in mean]

    def export(name, model, target, width=5, says_mean=True, zipmap=True, output=1):
        model.fit(whole[:, :width] if says_mean else rows[:, :width], target)
        options = None if zipmap else {id(model): {"zipmap": False}}
        proto = to_onnx(model, whole[:1, :width], options=options)
        session = onnxruntime.InferenceSession(proto.SerializeToString())
        # A pipeline that fills in what is missing is asked with what is missing.
        asked = (whole if says_mean else rows)[:1_000, :width]
        said = session.run(None, {"X": asked})[output]
        if output == 0:
            said = [int(value) for value in said]
        else:
            said = [round(float(list(row.values())[1] if zipmap else row[1]), 9) for row in said]
        document = {"id": name, "kind": "onnx", "feature_columns": COLUMNS[:width]}
        if width == 5:
            document["encodings"] = {"plan": PLANS}
        if says_mean:
            document["scaler"] = {"mean": said_mean[:width]}
        document["onnx"] = base64.b64encode(proto.SerializeToString()).decode()
        return {"document": document, "said": said}

    unsupported = export("svm", make_pipeline(StandardScaler(), SVC(max_iter=20)), left, output=0)
    elsewhere = onnx.load_model_from_string(base64.b64decode(unsupported["document"]["onnx"]))
    del elsewhere.graph.node[:]
    elsewhere.graph.node.append(onnx.helper.make_node("Add", ["X", "weights"], ["sum_of_prob"]))
    tensor = elsewhere.graph.initializer.add(name="weights", data_type=1, dims=[5], data_location=1)
    tensor.external_data.add(key="location", value="/etc/hostname")
    del elsewhere.graph.output[:]
    elsewhere.graph.output.append(onnx.helper.make_tensor_value_info("sum_of_prob", 1, [None, 5]))
    write("onnx.json", {
        # Scaler, LinearClassifier, ZipMap; the labels are false and true.
        "linear": export("linear", make_pipeline(StandardScaler(), LogisticRegression()), left),
        # Imputer, Scaler, LinearClassifier; the labels are words; the means are the imputer's.
        "imputed": export("imputed", make_pipeline(SimpleImputer(), StandardScaler(), LogisticRegression()),
                          numpy.where(left, "left", "here"), says_mean=False),
        # Scaler, TreeEnsembleClassifier with LOGISTIC, without ZipMap.
        "boosted": export("boosted", make_pipeline(StandardScaler(), GradientBoostingClassifier(n_estimators=30, random_state=0)),
                          left.astype(int), zipmap=False),
        # TreeEnsembleClassifier with NONE.
        "forest": export("forest", RandomForestClassifier(n_estimators=10, max_depth=4, random_state=0), left),
        # ReduceSumSquare, Gemm, ArgMin; whole numbers.
        "groups": export("groups", make_pipeline(StandardScaler(), KMeans(n_clusters=4, n_init=3, random_state=0)), None,
                         width=3, output=0),
        "unsupported": unsupported["document"],
        "elsewhere": {**unsupported["document"], "onnx": base64.b64encode(elsewhere.SerializeToString()).decode()},
    })


if __name__ == "__main__":
    trained()
    exported()
