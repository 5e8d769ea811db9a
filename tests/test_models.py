# SPDX-License-Identifier: GPL-2.0-or-later
"""Check the models of docs/spin with Spin: all of their states, and faults.

A model must have no error, and no statement that is never executed.  With each
-DFAULT=N that its first comment lists Spin must find an error: a check that
finds no fault proves nothing.
"""

import pathlib
import re
import subprocess
import tempfile

import pytest

MODELS = sorted((pathlib.Path(__file__).resolve().parent.parent /
                 'docs/spin').glob('*.promela'))
# Longest path; a search that needs more says so
DEPTH = 1000000


def faults(model):
    """The numbers of the faults that the model's first comment lists."""
    return re.findall(r'^ \* +-DFAULT=(\d+) ',
                      model.read_text().partition('*/')[0], re.M)


def run(*command, cwd):
    done = subprocess.run(command, cwd=cwd, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, check=False)
    if done.returncode:
        pytest.fail(f'{command}:\n{done.stdout}', pytrace=False)
    return done.stdout


def search(model, fault):
    """Return the output of Spin for the model with that fault (0: none)."""
    with tempfile.TemporaryDirectory() as work:
        run('spin', '-a', f'-DFAULT={fault}', model, cwd=work)
        run('gcc', '-w', '-O2', '-DSAFETY', '-o', 'pan', 'pan.c', cwd=work)
        text = run('./pan', f'-m{DEPTH}', cwd=work)
        for trail in pathlib.Path(work).glob('*.trail'):
            text += run('spin', '-p', '-g', '-k', trail, f'-DFAULT={fault}',
                        model, cwd=work)
        return text


@pytest.mark.parametrize('model,fault', [
    pytest.param(model, fault, id=f'{model.stem}-{fault}')
    for model in MODELS for fault in ('0', *faults(model))])
def test_model(model, fault):
    assert faults(model)
    text = search(model, fault)
    assert re.search(r'\S+ states, stored', text), 'it did not come to its end'
    if fault != '0':
        assert re.search(r'errors: [1-9]', text)
        return
    assert 'errors: 0' in text and 'max search depth too small' not in text
    # A process that never ends does not come to its end
    assert not [line for line in re.findall(r'.*, state \d+, .*', text)
                if not line.endswith('"-end-"')]
