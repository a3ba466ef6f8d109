"""A matrix that only its products are known of, and a solver of your own: how a distributed matrix gets its gradient.

The operator of `convection_diffusion.py`, never assembled. `eigs` is given three functions:

    matvec(v)  = A v              a LinearOperator: with MPI each process would have its part of v, and exchange borders
    rmatvec(y) = A^H y            derivatives need it
    solve(shift, x, adjoint)      (A - shift)^-1 x, or with the adjoint (A - shift)^-H x

The forward solves at sigma, where ARPACK multiplies with (A - sigma)^-1; the derivatives solve near the eigenvalues. An inexact
solve limits the accuracy of the eigenpairs, but not that of the derivatives' systems: their residuals are checked, and GMRES, in
arreig, improves on a solve that leaves some. The gradient comes as factors (y_j, v_j), columns as long as v; what depends on a
parameter of A is differentiated in the number sum_j y_j^T (A v_j), process by process.

Stand-in for a solver: SciPy's GMRES, preconditioned by the Laplacian, which a sine transform inverts; so the number of iterations
does not grow with the grid. Marked below is where PETSc's KSP, MUMPS (which factorises a shift once and solves often, with the
transpose too) or a multigrid would be called. The same gradient by the direct way, from the assembled matrix, is beside it.
"""

import argparse
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse.linalg as linalg
from convection_diffusion import Fields, decompose, losses, product, product_adjoint, stirred, through_products
from loggerhead import table
from rich.console import Console
from scipy.fft import dstn

import arreig

M, K, TOLERANCE = 60, 4, 1e-10  # points along a side; eigenpairs; relative residual of a solve


class Solver:
    """Solves with A - shift by products alone, and counts."""

    def __init__(self, A: Any, fields: Fields) -> None:
        m, h = len(fields.kappa), fields.h
        self.A, self.solves, self.iterations = A, 0, 0
        one = (2 - 2 * np.cos(np.pi * np.arange(1, m + 1) / (m + 1))) / h**2
        laplacian = fields.kappa.mean() * (one[:, None] + one)

        def inverse(x: Any) -> Any:
            return dstn(dstn(x.reshape(m, m), type=1, norm="ortho") / laplacian, type=1, norm="ortho").ravel()

        self.preconditioner = linalg.LinearOperator(A.shape, matvec=inverse, dtype=np.float64)

    def __call__(self, shift: complex, x: Any, adjoint: bool) -> Any:
        """What arreig calls."""

        def shifted(y: Any) -> Any:
            return self.A.rmatvec(y) - np.conj(shift) * y if adjoint else self.A.matvec(y) - shift * y

        def count(_: float) -> None:
            self.iterations += 1

        self.solves += 1
        # Here, in place of all that follows: ksp.solve or ksp.solveTranspose (PETSc), mumps.solve, a multigrid cycle or some.
        operator = linalg.LinearOperator(self.A.shape, matvec=shifted, dtype=np.result_type(shift, x))
        options = {"M": self.preconditioner, "rtol": TOLERANCE, "restart": 80, "maxiter": 5}
        y, _ = linalg.gmres(operator, x, callback=count, callback_type="pr_norm", **options)
        return y


def operator(fields: Fields) -> Any:
    """A by its products."""
    m = len(fields.kappa)
    return linalg.LinearOperator(
        (m * m, m * m),
        matvec=lambda v: product(fields, v.reshape(m, m)).ravel(),
        rmatvec=lambda y: product_adjoint(fields, y.reshape(m, m)).ravel(),
        dtype=np.float64,
    )


class Result(NamedTuple):
    """Eigenpairs by products alone; gradients of the losses so, and from the assembled matrix; what it took."""

    res: arreig.EigsResult
    gradients: dict[str, Fields]
    direct: dict[str, Fields]
    solver: Solver


def gradients(fields: Fields, res: arreig.EigsResult) -> dict[str, Fields]:
    """Of rate and share, from the factors."""
    cotangents = losses(res, len(fields.kappa))
    return {name: through_products(fields, *res.vjp(gV, gw, factors=True)) for name, (_, gV, gw) in cotangents.items()}


def main(m: int = M) -> Result:
    """Decompose and differentiate both ways, and print how far they are apart."""
    console, fields = Console(), stirred(m)
    A = operator(fields)
    solver = Solver(A, fields)
    res = arreig.eigs(A, k=K, sigma=0.0, solve=solver)
    forward = solver.solves, solver.iterations
    result = Result(res, gradients(fields, res), gradients(fields, decompose(fields)), solver)

    console.print(
        f"A: {m * m:,} x {m * m:,}, by products; eigenvalues next to 0:", *(f"{w:.4f}" for w in res.eigenvalues)
    )
    console.print(f"forward: {forward[0]} solves of {forward[1] / forward[0]:.0f} iterations")
    solves, iterations = solver.solves - forward[0], solver.iterations - forward[1]
    console.print(f"gradients of two losses: {solves} solves of {iterations / solves:.0f} iterations\n")
    title = "Largest difference from the gradient by a factorisation of the assembled matrix, relative"
    t = table(title, "loss", "to the diffusivity", "to the velocity")
    for name, gradient in result.gradients.items():
        pairs = zip(gradient, result.direct[name], strict=True)
        t.add_row(name, *(f"{np.abs(a - b).max() / np.abs(b).max():.1e}" for a, b in pairs))
    console.print(t)
    return result


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Gradient of eigenpairs of an operator, with a solver of one's own.")
    parser.add_argument("--points", type=int, default=M, help="grid points along a side")
    main(parser.parse_args().points)
