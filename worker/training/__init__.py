"""Training of the recognizer. Needs the extra ``train`` (torch); serving never imports this package."""
