"""autograd, on the workloads where it is short to write."""


def with_autograd(build, task):
    import autograd.numpy

    return build(task, autograd.numpy, autograd.value_and_grad, lambda function: function)
