"""Input data: conversion, validation and blocks of rows."""
