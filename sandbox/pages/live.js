// Shows a new screenshot repeatedly until the session ends.
const screen = document.getElementById('screen');
const state = document.getElementById('state');
const base = location.pathname.replace(/\/$/, '');
const pause = (ms) => new Promise((done) => setTimeout(done, ms));

function say(text) {
	if (state.textContent !== text) state.textContent = text;
}

for (let shown = ''; ;) {
	try {
		const answer = await fetch(base + '/frame', { cache: 'no-store' });
		if (answer.status === 404) {
			say('The session has ended.');
			break;
		}
		if (answer.ok) {
			const picture = URL.createObjectURL(await answer.blob());
			screen.src = picture;
			await screen.decode().catch(() => {});
			if (shown) URL.revokeObjectURL(shown);
			shown = picture;
			say(decodeURIComponent(answer.headers.get('Page-Url') ?? ''));
		}
		await pause(answer.ok ? 200 : 1000);
	} catch {
		say('The sandbox does not respond.');
		await pause(1000);
	}
}
