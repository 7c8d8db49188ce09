"""The smallest pipeline: two functions, an edge by name, a tape of what happened."""

from playhead import Engine, Workflow, step


@step
def greet(name: str) -> str:
    """Make a greeting; `name` names no step, so it is an input of the workflow."""
    return f"Hello, {name}!"


@step
def shout(greet: str) -> str:
    """Take what the step `greet` gave: the parameter's name is the edge."""
    return greet.upper()


hello = Workflow("hello", steps=[greet, shout])
engine = Engine("sqlite:///hello.db", workflows=[hello])

if __name__ == "__main__":
    print(engine.run(hello, name="Ann"))
    for event in engine.history(engine.runs(limit=1)[0].id):
        print(f"{event.version} {event.type:<15} {event.subject:<6} -> {event.dest}")
