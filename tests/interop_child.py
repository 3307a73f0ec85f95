"""Runs scikit-learn and SciPy on tensors of one device and on NumPy arrays; prints the differences.

A process of its own, since both ask SCIPY_ARRAY_API only when they are imported. Arguments: the
device of the tensors, and the default device. The last line is JSON: what differs, by name, and
how many functions were compared.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

os.environ["SCIPY_ARRAY_API"] = "1"

import numpy as np
import sklearn
from scipy import special, stats
from sklearn import metrics, preprocessing
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import Ridge
from sklearn.metrics import pairwise

import polyback as pb

RNG = np.random.default_rng(0)
X = RNG.standard_normal((40, 5))
Y = X @ np.arange(5.0) + 0.1 * RNG.standard_normal(40)
NEAR = Y + 0.3 * X[:, 0]
LABELS, GUESSES = (Y > 0).astype(np.int64), (NEAR > 0.5).astype(np.int64)
CHANCE, POSITIVE = 1 / (1 + np.exp(-NEAR)), np.abs(X) + 0.1

Case = tuple[Callable[..., Any], tuple[Any, ...]]


def _pca(solver: str, call: str) -> Callable[[Any], Any]:
    return lambda x: getattr(PCA(2, svd_solver=solver, whiten=True).fit(x), call)(x)


def _lda(call: str) -> Callable[[Any, Any], Any]:
    return lambda x, y: getattr(LinearDiscriminantAnalysis(solver="svd").fit(x, y), call)(x)


def _scaler(name: str) -> Callable[[Any], Any]:
    return lambda x: getattr(preprocessing, name)().fit_transform(x)


def _there_and_back(x: Any) -> Any:
    scaler = preprocessing.StandardScaler().fit(x)
    return scaler.inverse_transform(scaler.transform(x))


def learning() -> dict[str, Case]:
    """scikit-learn: estimators, scalers and measures."""
    found: dict[str, Case] = {
        "ridge": (lambda x, y: Ridge(solver="svd").fit(x, y).predict(x), (X, Y)),
        "covariance": (lambda x: PCA(2, svd_solver="full").fit(x).get_covariance(), (X,)),
        "there and back": (_there_and_back, (X,)),
    }
    for solver in ("full", "covariance_eigh"):
        found[f"PCA {solver}"] = (_pca(solver, "transform"), (X,))
    for call in ("decision_function", "predict", "predict_proba", "transform"):
        found[f"LDA {call}"] = (_lda(call), (X, LABELS))
    scalers = "StandardScaler MinMaxScaler MaxAbsScaler Normalizer Binarizer PolynomialFeatures"
    for name in scalers.split():
        found[name] = (_scaler(name), (X,))
    for operands, names in (
        ((LABELS, GUESSES), "accuracy_score zero_one_loss f1_score precision_score recall_score "
         "jaccard_score confusion_matrix balanced_accuracy_score"),
        ((LABELS, CHANCE), "log_loss brier_score_loss"),
        ((Y, NEAR), "r2_score mean_squared_error root_mean_squared_error mean_absolute_error "
         "max_error explained_variance_score median_absolute_error mean_pinball_loss"),
    ):  # fmt: skip
        found |= {name: (getattr(metrics, name), operands) for name in names.split()}
    kernels = "cosine_similarity cosine_distances euclidean_distances linear_kernel rbf_kernel "
    kernels += "polynomial_kernel sigmoid_kernel laplacian_kernel manhattan_distances chi2_kernel"
    for name in kernels.split():
        found[name] = (getattr(pairwise, name), (POSITIVE, POSITIVE[7:20] + 0.5))
    found["pairwise_distances"] = (metrics.pairwise_distances, (X,))
    return found


def science() -> dict[str, Case]:
    """SciPy's functions that are written against the array API."""
    found: dict[str, Case] = {
        "pmean": (lambda x: stats.pmean(x, 2.0), (POSITIVE,)),
        "quantile": (lambda x: stats.quantile(x, 0.3), (POSITIVE,)),
        "xlogy": (special.xlogy, (POSITIVE, POSITIVE)),
        "rel_entr": (special.rel_entr, (POSITIVE, POSITIVE[::-1].copy())),
    }
    for name in ("logsumexp", "softmax", "log_softmax"):
        found[name] = (partial(getattr(special, name), axis=1), (X,))
    names = "zscore gzscore skew kurtosis gmean hmean moment tmean tvar tstd sem variation kstat "
    names += "circmean circvar circstd iqr median_abs_deviation differential_entropy"
    for name in names.split():
        found[name] = (getattr(stats, name), (POSITIVE,))
    return found


def by_default_device() -> dict[str, Case]:
    """SciPy's functions that compute in NumPy and put the result on the default device."""
    found: dict[str, Case] = {
        "ttest_ind": (lambda x, y: stats.ttest_ind(x, y).pvalue, (X, POSITIVE)),
        "pearsonr": (lambda x, y: stats.pearsonr(x, y).pvalue, (Y, NEAR)),
        "rankdata": (stats.rankdata, (X,)),
        "normaltest": (lambda x: stats.normaltest(x).pvalue, (X,)),
        "entropy": (stats.entropy, (POSITIVE,)),
    }
    for name in ("erf", "gammaln", "ndtr", "expit", "entr", "i0"):
        found[name] = (getattr(special, name), (POSITIVE,))
    return found


def difference(case: Case, device: str) -> str:
    """What is wrong with the result of ``case`` on tensors, or nothing."""
    function, operands = case
    want = function(*operands)
    try:
        with sklearn.config_context(array_api_dispatch=True):
            got = function(*(pb.asarray(x, device=device) for x in operands))
    except Exception:
        return traceback.format_exc(limit=-3)
    if isinstance(want, np.ndarray) and not isinstance(got, pb.Tensor):
        return f"got {type(got).__name__}; want a tensor"
    if isinstance(got, pb.Tensor):
        if got.device != device or got.shape != np.shape(want):
            return f"got {got.shape} on {got.device}; want {np.shape(want)} on {device}"
        got = got.numpy()
    return "" if np.allclose(got, want, rtol=1e-6, atol=1e-9) else f"got {got}; want {want}"


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    device, default = sys.argv[1:]
    pb.default_device(default)
    cases = learning() | science() | (by_default_device() if device == default else {})
    found = {name: difference(case, device) for name, case in cases.items()}
    wrong = {name: text for name, text in found.items() if text}
    print(json.dumps({"wrong": wrong, "compared": len(cases)}))
