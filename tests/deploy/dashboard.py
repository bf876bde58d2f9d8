def run(work): return "todo"
