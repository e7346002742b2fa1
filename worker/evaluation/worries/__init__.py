"""Three worries, measured: too little data, too little compute, a model that nobody can explain.

``python -m worker.evaluation.worries`` (``make worries``) writes ``benchmarks/worries.json``, and of it the page and
the figures in ``docs/``. Needs the extra ``train``.
"""
