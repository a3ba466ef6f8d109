from ._functions import eig, eigh, eigvals, eigvalsh
