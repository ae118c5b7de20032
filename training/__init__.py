"""Commands: record a world, learn it, train in its dream, judge in the real one."""

if __name__ == "training":
    raise ImportError("import this package as worldgpt_env.training, not training")
