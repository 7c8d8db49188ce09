"""What a workflow is, and how it is run."""
