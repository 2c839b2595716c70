"""The commands of `pipeline-spde`, one module each: options in, one library call, words out."""
