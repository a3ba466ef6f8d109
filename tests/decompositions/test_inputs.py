"""Bad input, each with its message; and input that looks bad and is not."""

from collections import namedtuple
from typing import Any

import array_api_strict
import numpy as np
import pytest

import arreig
from arreig.testing import host

DECOMPOSITIONS = ("eig", "eigh", "eigvals", "eigvalsh")
VJPS = ("eig_vjp", "eigh_vjp", "eigvals_vjp", "eigvalsh_vjp")
A3 = np.array([[2.0, 0.5, 0.1], [0.5, 1.0, 0.3], [0.1, 0.3, -1.0]])


def named(function: str) -> Any:
    return getattr(arreig, function)


BAD_MATRICES = {
    "list": (
        [[1.0, 2.0], [3.0, 4.0]],
        arreig.InputTypeError,
        r"array of an array library, got list.*numpy.asarray\(A\)",
    ),
    "scalar": (np.float64(1.0), arreig.InputError, r"two dimensions, \(..., n, n\); got shape \(\)"),
    "vector": (np.ones(3), arreig.InputError, r"two dimensions, \(..., n, n\); got shape \(3,\)"),
    "not square": (np.ones((3, 2)), arreig.InputError, r"square.*got shape \(3, 2\)"),
    "half": (
        np.eye(2, dtype=np.float16),
        arreig.InputTypeError,
        r"float32, float64, complex64, complex128.*got float16",
    ),
    "bool": (np.eye(2, dtype=bool), arreig.InputTypeError, r"integers are converted.*got bool"),
    "object": (np.eye(2, dtype=object), arreig.InputTypeError, r"got object"),
    "text": (np.array([["a"]]), arreig.InputTypeError, r"got <U1"),
    "masked": (
        np.ma.masked_array(np.eye(2), mask=np.eye(2)),
        arreig.InputTypeError,
        "A must be a plain NumPy array, got numpy.ma",
    ),
}


@pytest.mark.parametrize("function", DECOMPOSITIONS)
@pytest.mark.parametrize("bad", BAD_MATRICES)
def test_matrices(function: str, bad: str) -> None:
    A, error, message = BAD_MATRICES[bad]
    with pytest.raises(error, match=message):
        named(function)(A)
    with pytest.raises(ValueError, match=message):  # as NumPy's users catch it
        named(function)(A, check=False)


@pytest.mark.parametrize("function", DECOMPOSITIONS)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_not_finite(lib: Any, dtype: str, function: str, value: float) -> None:
    A = np.stack([A3, A3, A3])
    A[1, 0, 2] = A[1, 2, 0] = value
    a = lib.array(A, dtype)
    with pytest.raises(
        arreig.NonFiniteError, match=rf"A must be finite, but entry \(0, 2\) of batch member \(1,\) is {value}"
    ):
        named(function)(a)
    with pytest.raises(arreig.NonFiniteError, match=r"entry \(0, 2\) is"):
        named(function)(a[1, ...])
    out = named(function)(a, check=False)
    for x in out if isinstance(out, tuple) else (out,):
        assert np.isnan(host(x)[1]).all()
        assert np.isfinite(host(x)[[0, 2]]).all()
    if isinstance(out, tuple):  # what was not raised stays NaN in the derivatives
        gA = host(out.vjp(lib.xp.ones_like(out.eigenvectors)))
        assert np.isnan(gA[1]).all()
        assert np.isfinite(gA[[0, 2]]).all()


def test_integers_become_double(lib: Any) -> None:
    A = lib.array(np.array([[2, 1], [1, 3]]), "int32")
    for function in DECOMPOSITIONS:
        expected = named(function)(lib.array([[2.0, 1.0], [1.0, 3.0]]))
        got = named(function)(A)
        for x, y in zip(got, expected, strict=True) if isinstance(got, tuple) else [(got, expected)]:
            assert x.dtype == y.dtype
            np.testing.assert_array_equal(host(x), host(y))
    assert arreig.eigh_vjp(A, A).dtype == lib.xp.float64


@pytest.mark.parametrize("function", ["eigh", "eigvalsh"])
def test_not_hermitian(lib: Any, dtype: str, function: str) -> None:
    A = np.stack([A3, A3 + 1e-2 * np.eye(3, k=1)])
    with pytest.raises(
        arreig.InputError, match=r"A of batch member \(1,\) must be Hermitian.*\(A \+ A\^H\)/2, or use eig"
    ):
        named(function)(lib.array(A, dtype))
    w = named(function)(lib.array(A, dtype), check=False)
    w = host(w[0] if isinstance(w, tuple) else w)
    assert np.isnan(w[1]).all()
    assert np.isfinite(w[0]).all()
    if dtype.startswith("complex"):
        with pytest.raises(arreig.InputError, match="Hermitian"):
            named(function)(lib.array(A3 + 0.5j * np.eye(3), dtype))


def test_cotangents(lib: Any) -> None:
    A = lib.array(A3)
    w, V = arreig.eig(A)
    arr = lib.array
    other = np.ones((3, 3)) if lib.xp is not np else array_api_strict.ones((3, 3))
    cases = [
        (lambda: arreig.eig_vjp(A), arreig.InputError, "at least one of the cotangents gV, gw and gW"),
        (lambda: arreig.eigh_vjp(A), arreig.InputError, "at least one of the cotangents gV and gw"),
        (lambda: arreig.eig_vjp(A, w), arreig.InputError, r"gV must have shape \(3, 3\), got \(3,\)"),
        (lambda: arreig.eig_vjp(A, V, V), arreig.InputError, r"gw must have shape \(3,\), got \(3, 3\)"),
        (lambda: arreig.eig_vjp(A, gW=w), arreig.InputError, r"gW must have shape \(3, 3\), got \(3,\)"),
        (lambda: arreig.eig_jvp(A, w), arreig.InputError, r"dA must have shape \(3, 3\), got \(3,\)"),
        (lambda: arreig.eig_vjp(A, [[1.0] * 3] * 3), arreig.InputTypeError, "gV must be a dense array.*got list"),
        (lambda: arreig.eig_vjp(A, other), arreig.InputTypeError, "gV must come from A's library: expected .*, got "),
        (
            lambda: arreig.eig_jvp(A, arr(1j * A3)),
            arreig.InputTypeError,
            "dA must be real.*got .*complex128.*complex dtype",
        ),
        (lambda: arreig.eigh_jvp(A, arr(1j * A3)), arreig.InputTypeError, "dA must be real"),
        (lambda: arreig.eigh_vjp(A, arr(1j * A3)), arreig.InputTypeError, "gV must be real"),
        (lambda: arreig.eigvalsh_vjp(A, arr(1j * A3[0])), arreig.InputTypeError, "gw must be real"),
        (
            lambda: arreig.eig_vjp(A, arr(np.ones((3, 3), bool))),
            arreig.InputTypeError,
            "gV must have one of the dtypes",
        ),
        (
            lambda: arreig.eig_vjp(A, arr(np.nan * A3)),
            arreig.NonFiniteError,
            r"gV must be finite, but entry \(0, 0\) is nan",
        ),
        (
            lambda: arreig.eig_vjp(A, V, arr(np.inf * A3[0])),
            arreig.NonFiniteError,
            r"gw must be finite, but entry \(0,\)",
        ),
        (lambda: arreig.eig_jvp(A, arr(np.nan * A3)), arreig.NonFiniteError, "dA must be finite"),
    ]
    for call, error, message in cases:
        with pytest.raises(error, match=message):
            call()


def test_device() -> None:
    first, second = (array_api_strict.Device(d) for d in ("CPU_DEVICE", "device1"))
    A, g = array_api_strict.asarray(A3, device=first), array_api_strict.asarray(A3, device=second)
    for call in (
        lambda: arreig.eig_vjp(A, g),
        lambda: arreig.eig_jvp(A, g),
        lambda: arreig.eig(A, gauge=arreig.Functional(g[0, :])),
    ):
        with pytest.raises(arreig.InputError, match=r"must be on A's device: expected .*CPU_DEVICE.*, got .*device1"):
            call()


def test_a_real_cotangent_serves_where_complex_is_meant(lib: Any, dtype: str) -> None:
    A, g = lib.array(A3 + np.eye(3, k=1), dtype), np.arange(9.0).reshape(3, 3)
    expected = arreig.eig_vjp(A, lib.array(g + 0j), lib.array(g[0] + 0j))
    for name in ("int64", "float32", "float64"):  # any precision: the gradient has that of A
        gA = arreig.eig_vjp(A, lib.array(g, name), lib.array(g[0], name))
        assert gA.dtype == A.dtype
        np.testing.assert_array_equal(host(gA), host(expected))


BAD_OPTIONS = {
    "gauge": ({"gauge": "unit"}, "'canonical', 'phase-free', arreig.Component.*got 'unit'"),
    "gauge type": ({"gauge": 3}, "'canonical', 'phase-free'.*got 3"),
    "component": ({"gauge": arreig.Component(3)}, r"Component\(3\) names no component of vectors of length 3"),
    "component below": ({"gauge": arreig.Component(-4)}, r"Component\(-4\) names no component"),
    "functional": ({"gauge": arreig.Functional(np.ones(4))}, r"z must have shape \(3,\).*got \(4,\)"),
    "functional batch": ({"gauge": arreig.Functional(np.ones((2, 3)))}, r"z must have shape \(3,\).*got \(2, 3\)"),
    "degeneracy": (
        {"degeneracy": "ignore"},
        r"'mask', 'split', 'perturb', arreig.Split.*Broaden\(eps\); got 'ignore'",
    ),
    "degeneracy number": ({"degeneracy": 1e-6}, r"Perturb\(delta\) or Broaden\(eps\); got 1e-06"),
    "check": ({"check": "yes"}, "check must be True or False; got 'yes'"),
}


@pytest.mark.parametrize("bad", BAD_OPTIONS)
@pytest.mark.parametrize("function", ["eig", "eigh", "eig_vjp", "eigh_vjp", "eig_jvp", "eigh_jvp"])
def test_options(function: str, bad: str) -> None:
    options, message = BAD_OPTIONS[bad]
    arguments = (A3, A3) if "_" in function else (A3,)
    with pytest.raises(arreig.InputError, match=message):
        named(function)(*arguments, **options)


def test_other_options() -> None:
    for function in ("eig", "eigvals"):
        with pytest.raises(arreig.InputError, match="sort must be None, 'abs' or 'real'; got 'imag'"):
            named(function)(A3, sort="imag")
    with pytest.raises(arreig.InputError, match="left must be True or False; got 1"):
        arreig.eig(A3, left=1)
    with pytest.raises(arreig.InputTypeError, match=r"Component\(m\) expects an integer index, got 1.5"):
        arreig.Component(1.5)
    for eps in (0, -1e-6, np.nan, np.inf, True, "1e-6", 1j):
        with pytest.raises(arreig.InputError, match=r"Broaden\(eps\) expects a positive finite number"):
            arreig.Broaden(eps)
    with pytest.raises(arreig.InputTypeError, match="Functional's z must be real"):
        arreig.eigh(A3, gauge=arreig.Functional(1j * np.ones(3)))
    with pytest.raises(arreig.InputTypeError, match=r"Functional\(z\) expects an array.*got \[1, 2, 3\]"):
        arreig.Functional([1, 2, 3])
    with pytest.raises(arreig.InputTypeError, match="gw must be an array, got None"):
        arreig.eigvals_vjp(A3, None)
    with pytest.raises(TypeError):
        arreig.eig(A3, "canonical")


def test_eigensystems(lib: Any) -> None:
    A = lib.array(A3 + np.eye(3, k=1))
    w, V = arreig.eig(A)
    res = arreig.eig(A, gauge="phase-free", sort="abs")
    ones = lib.xp.ones_like(V)
    hermitian = lib.array(A3)
    cases = [
        ((A, (w, V, V)), "result of arreig or a pair \\(w, V\\), got tuple of length 3"),
        ((A, V), "result of arreig or a pair \\(w, V\\), got .*"),
        ((A, (V, w)), r"the eigensystem's w must have shape \(3,\), got \(3, 3\)"),
        ((A, (w, V[:, :2])), r"the eigensystem's V must have shape \(3, 3\), got \(3, 2\)"),
        ((A, (lib.xp.flip(w), V)), r"not A's: eigenpair 0, w = .* expected at most sqrt\(u\) \|A\| ="),
        ((A, (w, lib.xp.matrix_transpose(V))), "not A's: eigenpair"),
        ((A, (w, 0 * V)), "not A's: eigenpair 0"),
        ((A, (w, V * lib.xp.nan)), r"the eigensystem's V must be finite, but entry \(0, 0\) is nan"),
        ((A, (w, 2 * V)), r"eigenvector 0 is not scaled as Canonical\(\) asks: expected 1, got 2"),
        ((2 * A, res), "not A's: eigenpair 0"),
        ((A, arreig.eigh(hermitian)), "a EighResult, which this function does not differentiate"),
    ]
    for (matrix, eigensystem), message in cases:
        with pytest.raises(arreig.InputError, match=message):
            arreig.eig_vjp(matrix, ones, eigensystem=eigensystem)
    for gauge, message in ((arreig.Component(0), r"not scaled as Component\(m=0\) asks"), ("phase-free", "")):
        if message:
            with pytest.raises(arreig.EigensystemError, match=message):
                arreig.eig_vjp(A, ones, eigensystem=(w, V), gauge=gauge)
    tiny = V * lib.array([1.0, 1.0, 1.0]) / V[0:1, :]
    arreig.eig_vjp(A, ones, eigensystem=(w, tiny), gauge=arreig.Component(0))
    # of a batch, the member is named
    with pytest.raises(arreig.EigensystemError, match=r"eigenpair 0 of batch member \(1,\)"):
        arreig.eig_vjp(
            lib.xp.stack([A, 2 * A]),
            lib.xp.stack([ones, ones]),
            eigensystem=tuple(lib.xp.stack([x, x]) for x in (w, V)),
        )


def test_options_of_an_eigensystem(lib: Any) -> None:
    A = lib.array(A3 + np.eye(3, k=1))
    res = arreig.eig(A, gauge="phase-free", sort="abs", degeneracy="mask")
    gV = res.eigenvectors
    expected = host(res.vjp(gV))
    np.testing.assert_array_equal(host(arreig.eig_vjp(A, gV, eigensystem=res)), expected)
    np.testing.assert_array_equal(
        host(arreig.eig_vjp(A, gV, eigensystem=res, gauge="phase-free", sort="abs")), expected
    )
    for option in (
        {"gauge": "canonical"},
        {"gauge": arreig.Component(0)},
        {"sort": "real"},
        {"degeneracy": "raise"},
        {"check": False},
    ):
        name = next(iter(option))
        with pytest.raises(
            arreig.InputError, match=rf"{name}=.* conflicts with the supplied eigensystem, which has {name}="
        ):
            arreig.eig_vjp(A, gV, eigensystem=res, **option)
    with pytest.raises(arreig.InputError, match="sort orders what arreig decomposes"):
        arreig.eig_vjp(A, gV, eigensystem=tuple(arreig.eig(A)), sort="abs")
    with pytest.raises(arreig.InputError, match="conflicts"):
        arreig.eigh_vjp(lib.array(A3), gV=lib.array(A3), eigensystem=arreig.eigh(lib.array(A3)), gauge="phase-free")


@pytest.mark.parametrize("kind", ["eig", "eigh"])
def test_a_result_of_another_dtype(kind: str) -> None:
    for A, other in ((A3, A3 + 0j), (A3, A3.astype(np.float32)), (A3 + 0j, A3)):
        res = getattr(arreig, kind)(other)
        with pytest.raises(arreig.InputTypeError, match=f"A has dtype {A.dtype}, but .* of dtype {other.dtype}"):
            getattr(arreig, f"{kind}_vjp")(A, gw=np.ones(3), eigensystem=res)


def test_hermitian_eigensystems(lib: Any) -> None:
    A = lib.array(np.diag([1.0, 1.0, 2.0]))
    w, V = arreig.eigh(A)
    skewed = V @ lib.array(np.array([[1.0, 0.6, 0.0], [0.0, 0.8, 0.0], [0.0, 0.0, 1.0]]))
    with pytest.raises(
        arreig.EigensystemError, match=r"must be orthogonal, expected \|Q\^H Q - I\| <= sqrt\(u\).*use eigh"
    ):
        arreig.eigh_vjp(A, V, eigensystem=(w, skewed), degeneracy="mask")
    with pytest.raises(arreig.InputTypeError, match="the eigensystem's w must be real"):
        arreig.eigh_vjp(A, V, eigensystem=tuple(arreig.eig(A)))


def test_any_librarys_result_is_taken() -> None:
    """NumPy's named tuple, real where the spectrum is; SciPy's eigenvectors; a foreign named tuple."""
    A = np.array([[2.0, 1.0, 0.0], [0.0, 1.0, 0.5], [0.3, 0.0, -1.0]])
    gV = np.random.default_rng(0).standard_normal((3, 3))
    pair = namedtuple("pair", "values vectors")(*np.linalg.eig(A))
    for eigensystem in (np.linalg.eig(A), pair, list(np.linalg.eig(A))):
        assert np.isfinite(arreig.eig_vjp(A, gV, eigensystem=eigensystem)).all()
    w, V = np.linalg.eigh(A + A.T)
    expected = arreig.eigh_vjp(A + A.T, V * gV, eigensystem=arreig.eigh(A + A.T, gauge="phase-free"))
    np.testing.assert_allclose(arreig.eigh_vjp(A + A.T, V * gV, eigensystem=(w, V)), expected, rtol=1e-12)


@pytest.mark.parametrize("shape", [(0, 0), (1, 1), (0, 3, 3), (2, 0, 3, 3), (3, 0, 0), (3, 1, 1)], ids=str)
@pytest.mark.parametrize("gauge", ["canonical", "phase-free", arreig.Component(0)], ids=str)
@pytest.mark.parametrize("degeneracy", ["raise", "mask", arreig.Broaden(1e-9)], ids=str)
def test_small_and_empty(lib: Any, dtype: str, shape: tuple[int, ...], gauge: Any, degeneracy: Any) -> None:
    A = lib.array(np.full(shape, 2.0), dtype)
    for function in ("eig", "eigh"):
        res = named(function)(A, gauge=gauge, degeneracy=degeneracy)
        w, V = res
        assert w.shape == shape[:-1]
        assert V.shape == shape
        np.testing.assert_array_equal(host(w), 2.0)
        gA = res.vjp(V, w)
        assert gA.shape == shape
        assert gA.dtype == A.dtype
        np.testing.assert_array_equal(host(gA), 2.0)  # n = 1: the eigenvalue is the entry, the vector constant
        dw, dV = res.jvp(A)
        np.testing.assert_array_equal(host(dw), 2.0)
        np.testing.assert_array_equal(host(dV), 0.0)
        assert named(f"{function}_vjp")(A, gw=w).shape == shape
        assert named(f"{function}_jvp")(A, A, eigensystem=(w, V), gauge=gauge)[1].shape == shape
    assert arreig.eig(A, left=True).left_eigenvectors.shape == shape
    for function in ("eigvals", "eigvalsh"):
        np.testing.assert_array_equal(host(named(function)(A)), 2.0)
        assert named(f"{function}_vjp")(A, named(function)(A)).shape == shape
        assert named(f"{function}_jvp")(A, A).shape == shape[:-1]


LAYOUTS = {
    "read-only": np.copy,
    "Fortran": np.asfortranarray,
    "strided": lambda x: np.repeat(x, 2, axis=-1)[..., ::2],
    "reversed": lambda x: x[::-1].copy()[::-1],
    "byte-swapped": lambda x: x.astype(x.dtype.newbyteorder()),
    "matrix": lambda x: x.view(np.matrix) if x.ndim == 2 else x,
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("function", VJPS)
def test_layouts_and_inputs_unchanged(layout: str, function: str) -> None:
    rng = np.random.default_rng(0)
    A = rng.standard_normal((4, 4))
    A = A + A.T if "h" in function else A
    shape = (4,) if "vals" in function else (4, 4)
    g = rng.standard_normal(shape)
    expected = named(function)(A, g)
    a, c = (LAYOUTS[layout](x) for x in (A, g))
    a.setflags(write=False)
    c.setflags(write=False)
    before = a.copy(), c.copy()
    got = named(function)(a, c)
    assert type(got) is np.ndarray
    np.testing.assert_array_equal(got, expected)
    np.testing.assert_array_equal(a, before[0])
    np.testing.assert_array_equal(c, before[1])
