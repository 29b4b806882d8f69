"""Plain loops: what a stage does, written as one would in an hour with OpenCV, NumPy, pyarrow, faiss and scikit-learn.

No project code, no Spark, one process and one thread each. `python -m bench.plain.NAME ORDER`, ORDER being JSON, prints one line of JSON:
what was done, `cpu_s` and `seconds`, the imports left out.
"""
