"""Derivative rules: a JVP beside its VJP, one file a decomposition.

Pure formulas over the array API. A rule knows no library, solves no eigenproblem and takes no branch on data; what it
cannot serve it returns as boolean arrays, which `_decompositions._flags` reads.
"""
