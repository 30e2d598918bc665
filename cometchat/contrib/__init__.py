"""What the SDK brings for other libraries, a module for each: none is loaded by ``import cometchat``.

A module imports the library it is named after, which its extra installs (``pip install 'cometchat[django]'``), and of
the SDK the public names only. ``web``, ``settings``, ``serving``, ``login``, ``process``, ``wsgi``, ``asgi`` and
``commands`` are named after none: they are what web applications of any framework share.
"""
